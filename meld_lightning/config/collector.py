"""Python's collector of cyclic garbage, paused while configs are composed and runs are looked for.

Imports, configs and what is read of runs are hundreds of thousands of objects, and nearly all stay:
searching them for garbage again and again takes a tenth of a command's time until its work begins.
Used by `cli` for every command, and by `study.plan`.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pauses the collector, if it runs; `gc.enable` may end the pause before the block does."""
    ran = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if ran:
            gc.enable()

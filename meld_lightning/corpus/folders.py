"""A folder that appears under its name whole or not at all.

Writes beside that name; used by mini.py and prepare.py.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A fresh folder to write into, which takes the place of `target` if the block ends well and is removed if not."""
    fresh = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    fresh.mkdir(parents=True)
    try:
        yield fresh
        stale = fresh.with_suffix(".old")
        if target.exists():  # a folder cannot be replaced in one step
            target.rename(stale)
        fresh.rename(target)
        shutil.rmtree(stale, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)

"""Hostile files: valid ones changed at random, and what a reader may do with them.

HOSTILE_CASES sets the number of cases a reader gets (1,000); HOSTILE_SEED makes them other ones.
"""

import os
import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf, nan
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st

from meld_lightning.errors import UserError

CASES = int(os.environ.get("HOSTILE_CASES", "1000"))
SEED = int(os.environ.get("HOSTILE_SEED", "1"))
MEMORY = 3 << 30  # bytes that a case may map beyond what the process has mapped already
HANGS_S = 60  # of CPU time: on a busy machine the first case alone waits for its imports
TOKENS = (
    *rb""" " ' , ; | \ / : { } [ ] [] {} % $ ../ /etc/passwd ${oc.env:HOME} <script> =cmd()
    nan NaN -inf 1e999 -1 0 true null *a "f1": __class__ """.split(),
    *(b"\x00", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3\xa9", b"\xe2\x80\xa8", b"\x1b[2J"),
    *(b"\r", b"\n", b" ", b"\t", b"&a ", b"!!int x", b"- ", b"# ", b"sep=;\n"),
    *(b"9" * 400, b"x" * 3000, b"[" * 2000, b"{'a':" * 400),
)
HOWS = ("flip", "cut", "end", "insert", "double", "replace", "swap")
Edit = tuple[str, float, int, bytes]  # how, where (a share of the length), how much, and what
Made = TypeVar("Made")
# Hypothesis draws the seed of a case alone: drawing each edit would cost more than most readers do
SEEDS = st.binary(min_size=8, max_size=8)


def made(make: Callable[[Random], Made]) -> st.SearchStrategy[Made]:
    """What `make` makes from random numbers."""

    def of_seed(drawn: bytes) -> Made:
        case = make(Random(drawn))
        note(case)  # printed with a case that fails
        return case

    return SEEDS.map(of_seed)


def mutated(*contents: bytes) -> st.SearchStrategy[bytes]:
    """One of the contents, as it is or after up to six edits; one in ten is anything at all."""
    return made(lambda draw: mutation(draw, *contents))


def mutation(draw: Random, *contents: bytes) -> bytes:
    """The same from given random numbers."""
    if draw.random() < 0.1:
        return draw.randbytes(draw.randrange(40))
    edits = [_edit(draw) for _ in range(draw.randrange(7))]
    return edited(draw.choice(contents), edits)


def _edit(draw: Random) -> Edit:
    what = draw.choice(TOKENS) if draw.random() < 0.5 else draw.randbytes(draw.randrange(9))
    return draw.choice(HOWS), draw.random(), draw.randint(1, 40), what


def edited(content: bytes, edits: list[Edit]) -> bytes:
    for how, where, much, what in edits:
        place = int(where * len(content))
        before, part, after = (
            content[:place],
            content[place : place + much],
            content[place + much :],
        )
        if how == "flip" and part:
            content = before + bytes([part[0] ^ (1 << much % 8)]) + part[1:] + after
        elif how == "cut":
            content = before + after
        elif how == "end":
            content = before
        elif how == "insert":
            content = before + what + part + after
        elif how == "double":
            content = before + part + part + after
        elif how == "replace":
            content = before + what + after
        elif how == "swap":
            content = before + part[::-1] + after
    return content


TEXTS = ("text", "../x", "neutral", "joy", "anger", "${oc.env:HOME}", "<b>", "", "\x00", "\u2028")
NUMBERS = (0, 1, -1, 2**31, -(2**63), 2**70, 0.0, -0.0, 0.5, 1e308, inf, -inf, nan)


def some_text(draw: Random, longest: int = 6) -> str:
    """Characters of every kind, but for surrogates, which no file of ours can hold."""
    bounds = ((0, 128), (0, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000))
    codes = [draw.randrange(*draw.choice(bounds)) for _ in range(draw.randint(0, longest))]
    return "".join(map(chr, codes))


def some_json(draw: Random, deep: int = 2) -> Any:
    """A value that a JSON file may hold."""
    kind = draw.randrange(7 if deep else 5)
    if kind < 2:
        return draw.choice((None, True, False, *NUMBERS, draw.randint(-(2**70), 2**70)))
    if kind < 3:
        return draw.gauss(0, 10.0 ** draw.randint(-9, 9))
    if kind < 5:
        return draw.choice(TEXTS) if draw.random() < 0.5 else some_text(draw)
    items = [some_json(draw, deep - 1) for _ in range(draw.randrange(4))]
    return items if kind == 5 else {some_text(draw, 4): item for item in items}


def replaced(tree: Any) -> st.SearchStrategy[Any]:
    """`tree` with up to three of its values, at any depth, replaced or removed."""
    return made(lambda draw: replacement(draw, tree))


def replacement(draw: Random, tree: Any) -> Any:
    """The same from given random numbers."""
    for _ in range(draw.randrange(4)):
        places = list(_places(tree))
        if not places:
            return some_json(draw)
        tree = _changed(tree, draw.choice(places), draw.random() < 0.5, some_json(draw))
    return tree


def _places(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in inner:
        yield (*above, key)
        yield from _places(value, (*above, key))


def _changed(tree: Any, place: tuple[Any, ...], remove: bool, value: Any) -> Any:
    key, *below = place
    items = dict(tree) if isinstance(tree, dict) else dict(enumerate(tree))
    if below:
        items[key] = _changed(items[key], tuple(below), remove, value)
    elif remove:
        del items[key]
    else:
        items[key] = value
    return items if isinstance(tree, dict) else list(items.values())


Test = Callable[..., None]


def cases(test: Test) -> Test:
    """Runs a test with given(...) on CASES cases, the same ones each time."""
    return _on(CASES, test)


def fewer_cases(test: Test) -> Test:
    """The same with a fiftieth of them, where each takes a tenth of a second."""
    return _on(max(1, CASES // 50), test)


def _on(number: int, test: Test) -> Test:
    chosen = settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    return seed(SEED)(chosen(test))


def answers(read: Callable[[], Any], *allowed: type[Exception]) -> Any:
    """What `read` returns; None if it raises UserError with one line, or one of `allowed`.

    Anything else fails the test: another exception, several lines, a hang, or memory without bound.
    """
    try:
        with bounded():
            return read()
    except allowed:
        return None
    except UserError as error:
        if len(str(error).splitlines()) == 1:
            return None
        raise AssertionError(f"not one line: {error}") from error
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise AssertionError(
            f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"
        ) from error


@contextmanager
def bounded() -> Iterator[None]:
    """Within the block memory and time are limited."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, before[1]))
    signal.signal(signal.SIGPROF, _hangs)
    signal.setitimer(signal.ITIMER_PROF, HANGS_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _hangs(*_: Any) -> None:
    raise AssertionError(f"no answer within {HANGS_S} s")

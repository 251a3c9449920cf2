"""Hostile files: valid ones changed at random, and what a reader may do with them.

HOSTILE_CASES sets the number of cases a reader gets (1,000); HOSTILE_SEED makes them other ones.
"""

import os
import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st

from meld_lightning.errors import UserError

CASES = int(os.environ.get("HOSTILE_CASES", "1000"))
SEED = int(os.environ.get("HOSTILE_SEED", "1"))
MEMORY = 3 << 30  # bytes that a case may map beyond what the process has mapped already
HANGS_S = 60
TOKENS = [
    *(
        b"\x00",
        b"\xff",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xc3\xa9",
        b"\xe2\x80\xa8",
        b"\r",
        b"\n",
        b" ",
    ),
    *(b'"', b"'", b",", b";", b"\t", b"|", b"\\", b"/", b"../", b"/etc/passwd", b"${oc.env:HOME}"),
    *(b"<script>", b"=cmd()", b"nan", b"-inf", b"1e999", b"-1", b"0", b"9" * 400, b"true", b"null"),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b"[]",
        b"{}",
        b"[" * 2000,
        b"{'a':" * 400,
        b":",
        b"*a",
        b"&a ",
        b"!!int x",
    ),
    *(
        b"sep=;\n",
        b"x" * 3000,
        b"\x1b[2J",
        b"NaN",
        b'"f1":',
        b"- ",
        b"# ",
        b"%",
        b"$",
        b"__class__",
    ),
]

# an edit: how, where (a share of the length), how much, and what
EDITS = st.tuples(
    st.sampled_from(("flip", "cut", "end", "insert", "double", "replace", "swap")),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 40),
    st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8)),
)


def mutated(*contents: bytes) -> st.SearchStrategy[bytes]:
    """One of the contents, as it is or after up to six edits; one in ten is anything at all."""
    return st.tuples(
        st.sampled_from(contents), st.lists(EDITS, max_size=6), st.integers(0, 9), st.binary()
    ).map(lambda drawn: drawn[3] if drawn[2] == 9 else edited(drawn[0], drawn[1]))


def edited(content: bytes, edits: list[tuple[str, float, int, bytes]]) -> bytes:
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


# values of any JSON file, and of a structure with one value in it replaced
ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=6),
        st.sampled_from(["text", "../x", "neutral", "joy", "anger", "${oc.env:HOME}", "<b>"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


def replaced(tree: Any) -> st.SearchStrategy[Any]:
    """`tree` with up to three of its values, at any depth, replaced or removed."""
    change = st.tuples(st.integers(0, 10**6), st.booleans(), ANY_JSON)
    return st.lists(change, max_size=3).map(lambda changes: _replaced(tree, changes))


def _replaced(tree: Any, changes: list[tuple[int, bool, Any]]) -> Any:
    for number, remove, value in changes:
        places = list(_places(tree))
        if not places:
            return value
        tree = _changed(tree, places[number % len(places)], remove, value)
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
    signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(HANGS_S)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _hangs(*_: Any) -> None:
    raise AssertionError(f"no answer within {HANGS_S} s")

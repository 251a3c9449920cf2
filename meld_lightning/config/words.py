"""Config values, their types, and counts in words: `2e-5`; `whole number, at least 1`; `1 run`.

Used by messages, by --help and by tables.
"""

import types
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

SCIENTIFIC = 0.01  # numbers below it, such as learning rates, are written with an exponent
UNIONS = (Union, types.UnionType)
SCALARS = {
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "text",
    Path: "path",
    type(None): "null",
    None: "null",
}


def counted(count: int, noun: str) -> str:
    """`1 run`, `2 runs`. noun: one whose plural ends with s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def in_words(annotation: Any) -> str:
    """What a value has to be: `whole number, at least 1`; `none, past or both`; `list of text`.

    Empty where anything may be given.
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return ", ".join(filter(None, [in_words(inner[0]), range_in_words(annotation)]))
    if origin in (Literal, *UNIONS):
        return _either(dict.fromkeys(_alternatives(annotation)))
    if annotation in SCALARS:
        return SCALARS[annotation]
    kind = origin or annotation
    if not isinstance(kind, type):
        return ""
    items = [item for item in inner if item is not Ellipsis]
    if issubclass(kind, Mapping):
        return "mapping"
    if issubclass(kind, Collection):
        of = in_words(items[0]) if items else ""
        return f"list of {of.replace('number', 'numbers')}" if of else "list"
    return ""


def _alternatives(annotation: Any) -> list[str]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ["null" if value is None else str(value) for value in inner]
    if origin in UNIONS:
        return [words for part in inner for words in _alternatives(part)]
    if annotation is bool:
        return ["true", "false"]
    return [in_words(annotation)] if in_words(annotation) else []


def range_in_words(annotation: Any) -> str:
    """`at least 1`, `0 to 1`; empty where every number may be given."""
    bounds = _bounds(annotation)
    low, high = bounds.get("ge"), bounds.get("le")
    above, below = bounds.get("gt"), bounds.get("lt")
    if low is not None and high is not None:
        return f"{low} to {high}"
    words = {"at least": low, "at most": high, "above": above, "below": below}
    return " and ".join(f"{word} {bound}" for word, bound in words.items() if bound is not None)


def setting(value: Any) -> str:
    """A config value as people write it, on the command line and in tables: 2e-5, not 2e-05; 1e-3,
    not 0.001; true, not True."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not 0 < abs(value) < SCIENTIFIC:
            return f"{value:g}"
        mantissa, _, exponent = f"{value:.12e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return "null" if value is None else str(value)


def choices(annotation: Any) -> list[str]:
    """All values of any Literal within the type."""
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [choice for part in get_args(annotation) for choice in choices(part)]


def _bounds(annotation: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    if get_origin(annotation) in UNIONS:
        for part in get_args(annotation):
            found |= _bounds(part)
    for mark in get_args(annotation)[1:] if get_origin(annotation) is Annotated else ():
        for bounds in mark.metadata if isinstance(mark, FieldInfo) else [mark]:
            for name in ("ge", "gt", "le", "lt"):
                if (bound := getattr(bounds, name, None)) is not None:
                    found[name] = bound
    return found


def _either(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last

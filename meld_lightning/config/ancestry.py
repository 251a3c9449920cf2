"""From which class a class derives, read from source files without importing any of them.

Reads source files of this project, of a user's own and of installed packages; writes nothing. Used
before something is imported because a file from elsewhere names it: a run folder, an export.
"""

import ast
from collections.abc import Collection
from pathlib import Path

from meld_lightning.config.modules import Module, locate

DEEPEST = 32  # classes between a class and its base; ends circles


def derives_from(target: str, bases: Collection[str], outside: Path | None = None) -> bool:
    """Whether the class at the dotted path `target` is one of `bases` (dotted paths) or derives
    from one, as its source says.

    outside: a folder whose source files do not count.
    """
    return _derives(target, bases, outside and outside.resolve(), DEEPEST)


def has_arguments(target: str, names: Collection[str], outside: Path | None = None) -> bool:
    """Whether the function at the dotted path `target` takes arguments of these names.

    outside: as in derives_from.
    """
    found = _located(target, outside and outside.resolve())
    if not found or not isinstance(found[1], ast.FunctionDef):
        return False
    given = found[1].args
    return set(names) <= {one.arg for one in (*given.args, *given.kwonlyargs)}


def _derives(target: str, bases: Collection[str], outside: Path | None, deepest: int) -> bool:
    if target in bases:
        return True
    found = _located(target, outside)
    module, node = found or (None, None)
    if module is None or not isinstance(node, ast.ClassDef) or not deepest:
        return False
    if f"{module.name}.{node.name}" in bases:
        return True
    inner = filter(None, (module.dotted(base) for base in node.bases))
    return any(_derives(one, bases, outside, deepest - 1) for one in inner)


def _located(target: str, outside: Path | None) -> tuple[Module, ast.stmt] | None:
    """Where the object is defined; None where that is not a source file outside of `outside`."""
    if not all(part.isidentifier() for part in target.split(".")):
        return None
    try:
        found = locate(target, installed=True)
    except (OSError, SyntaxError, ValueError, RecursionError):  # Python could not import it, either
        return None
    if found and outside and found[0].file.resolve().is_relative_to(outside):
        return None
    return found

"""The package's rooms: imports point down, names are public, files are short.

Reads the source alone. LONG_FILES may only shrink: an entry that no longer applies fails the test
until it is removed.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TypeGuard

import pytest

from tests.running import CHECKOUT

# A room may import from the rooms after it, and from errors.py and metrics.py. The package's own
# names (meld_lightning.load_run) are for users and for the commands.
ROOMS = [
    "commands",
    "doctor",
    "page",
    "listing",
    "launching",
    "report",
    "inference",
    "study",
    "training",
    "fusion",
    "tracking",
    "models",
    "data",
    "runs",
    "mini",
    "pretrained",
    "media",
    "fetch",
    "corpus",
    "config",
    "storage",
]
FLOOR = ["metrics", "errors"]
LONG_FILES: set[str] = set()
MAX_LINES, MAX_LENGTH, MAX_LONG_SHARE = 300, 100, 0.01
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "stuff"}

PACKAGE = CHECKOUT / "meld_lightning"
FOLDERS = ("meld_lightning", "hydra_plugins", "tests", "benchmarks", "docs")
MODULES = {
    ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def python_files() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((CHECKOUT / folder).rglob("*.py"))]


def named(tree: ast.AST) -> Iterator[str]:
    """The dotted names that a module imports or names in a string, wherever it does.

    Inside functions, under TYPE_CHECKING, for importlib.import_module or for `python -m`.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and is_dotted(node.value):
            yield node.value


def is_dotted(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.startswith("meld_lightning.") and " " not in value


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported(module: str) -> frozenset[str]:
    """The modules of the package that a module imports."""
    found = set()
    for name in named(parsed(MODULES[module])):
        while name.startswith("meld_lightning.") and name not in MODULES:
            name = name.rpartition(".")[0]
        if name in MODULES:
            found.add(name)
    return frozenset(found - {module})


def room(module: str) -> str:
    """'meld_lightning.media.store' -> 'media'; '' for the package itself."""
    return (*module.split("."), "")[1]


def test_every_folder_is_a_room_and_little_lies_loose() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert folders <= set(ROOMS)
    loose = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert loose == set(FLOOR)


def test_no_import_points_upwards() -> None:
    rank = {name: number for number, name in enumerate([*ROOMS, *FLOOR])}
    upwards = {
        (module.removeprefix("meld_lightning."), room(target))
        for module in MODULES
        if room(module) not in ("", "__main__", "commands")
        for target in imported(module)
        if room(target) != room(module)
        and (room(target) == "" or rank[room(target)] <= rank[room(module)])
    }
    assert upwards == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {}
    for module in MODULES:
        targets = set()
        for target in imported(module):
            targets.add(target)
            if room(target) != room(module):  # the room's __init__ is imported on the way
                targets.add(f"meld_lightning.{room(target)}".removesuffix("."))
        graph[module] = targets - {"meld_lightning"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_module_uses_the_private_names_of_another() -> None:
    found = set()
    for path in python_files():
        tree, modules = parsed(path), set()
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and is_ours(node.module or ""):
                modules |= {alias.asname or alias.name for alias in node.names}
                names |= {alias.name for alias in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names |= {node.attr} if node.value.id in modules else set()
        found |= {(str(path.relative_to(CHECKOUT)), name) for name in names if is_private(name)}
    assert found == set()


def is_ours(module: str) -> bool:
    return module.split(".")[0] in FOLDERS


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def test_files_are_short() -> None:
    lines = {path: path.read_text().splitlines() for path in python_files()}
    long = {str(path.relative_to(CHECKOUT)) for path, own in lines.items() if len(own) >= MAX_LINES}
    assert long == LONG_FILES
    wide = sum(len(line) > MAX_LENGTH for own in lines.values() for line in own)
    assert wide < MAX_LONG_SHARE * sum(map(len, lines.values()))


def test_no_script_hides_a_module_of_the_standard_library() -> None:
    """A script's own folder comes first on the path of the processes that it starts."""
    scripts = {path.stem for path in (CHECKOUT / "benchmarks").glob("*.py")}
    assert not scripts & set(sys.stdlib_module_names)


def test_no_name_is_vague() -> None:
    names = {path: {path.stem, *path.relative_to(CHECKOUT).parts} for path in python_files()}
    assert [path for path, own in names.items() if own & VAGUE] == []

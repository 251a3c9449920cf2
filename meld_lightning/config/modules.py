"""Python modules read without importing them: what a name stands for, and the value of an
annotation or a default.

Reads source files of this project and of a user's own. Used by `signatures`.
"""

import ast
import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PACKAGE = __name__.partition(".")[0]
OURS = (PACKAGE, "hydra_plugins")
IMPORTABLE = {*sys.stdlib_module_names, "pydantic"}  # light enough to import for an annotation


class Module(Mapping[str, Any]):
    """A parsed module; as a mapping, the values that its annotations and defaults use by name."""

    def __init__(self, name: str, file: Path, installed: bool = False) -> None:
        self.name, self.file, self.installed = name, file, installed
        self.package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        self.definitions = {name: node for node in tree.body for name in _defines(node)}

    def follow(self, name: str) -> "tuple[Module, ast.stmt] | None":
        """Where `name` is defined, in this module or in the one it is imported from."""
        node = self.definitions.get(name)
        if isinstance(node, ast.ImportFrom):
            source = module(self._source(node), self.installed)
            return source.follow(_original(node, name)) if source else None
        return (self, node) if node else None

    def dotted(self, node: ast.expr) -> str:
        """The dotted path of what a name in this module stands for, such as `nn.Module`; empty for
        any other expression."""
        first, _, inner = ast.unparse(node).partition(".")
        where = self.definitions.get(first)
        if isinstance(where, ast.ImportFrom):
            first = f"{self._source(where)}.{_original(where, first)}"
        elif isinstance(where, ast.Import):
            first = _original(where, first)
        elif where is not None:
            first = f"{self.name}.{first}"
        whole = f"{first}.{inner}" if inner else first
        return whole if all(part.isidentifier() for part in whole.split(".")) else ""

    def annotation(self, node: ast.expr | None) -> Any:
        """The type that `node` spells; Any where it names something that would have to be
        imported."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node = ast.parse(node.value, mode="eval").body
        try:
            return Any if node is None else self.evaluate(node)
        except NameError:
            return Any

    def evaluate(self, node: ast.expr) -> Any:
        """The value of an expression; NameError where it needs something that would have to be
        imported."""
        code = compile(ast.Expression(node), self.package, "eval")
        return eval(code, {}, self)  # noqa: S307 -- our own source, as typing.get_type_hints does

    def __getitem__(self, name: str) -> Any:
        """The value of `name`. Raises KeyError if the module does not define it or it would have to
        be imported; Python then looks in builtins."""
        node = self.definitions[name]
        if isinstance(node, ast.Import):
            original = _original(node, name)
            if original in IMPORTABLE:
                return importlib.import_module(original)
        elif isinstance(node, ast.ImportFrom):
            source, original = self._source(node), _original(node, name)
            if source.partition(".")[0] in IMPORTABLE:
                return getattr(importlib.import_module(source), original)
            if read := module(source):
                return read[original]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            return self.evaluate(node.value)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.definitions)

    def __len__(self) -> int:
        return len(self.definitions)

    def _source(self, node: ast.ImportFrom) -> str:
        """The module that `from ... import` names, relative ones included."""
        if not node.level:
            return node.module or ""
        package = ".".join(self.package.split(".")[: 1 - node.level or None])
        return f"{package}.{node.module}" if node.module else package


def module(name: str, installed: bool = False) -> Module | None:
    """The parsed module of that dotted name; None where there is none, and for a library's unless
    `installed`."""
    file = _file(name, installed)
    return _parsed(name, file, file.stat().st_mtime_ns, installed) if file else None


def locate(target: str, installed: bool = False) -> tuple[Module, ast.stmt] | None:
    """The definition of the object at a dotted path; None where it has to be imported, as in a
    library's module unless `installed`."""
    path, _, name = target.rpartition(".")
    found = module(path, installed)
    return found.follow(name) if found else None


def source_file(target: str) -> Path | None:
    """The file that defines the object at a dotted path; None for what is not written in Python.

    A module of an installed package is imported to find it.
    """
    path, _, name = target.rpartition(".")
    if file := _file(path):
        return file
    source = inspect.getsourcefile(getattr(importlib.import_module(path), name))
    return Path(source) if source else None


@functools.lru_cache(maxsize=256)
def _parsed(name: str, file: Path, changed_ns: int, installed: bool) -> Module:
    return Module(name, file, installed)


def is_library(target: str) -> bool:
    """Whether a dotted path leads into an installed package: neither this project nor a module of
    the user's own."""
    top = target.partition(".")[0]
    return top not in OURS and not any(_folders_or_file(top))


def _file(name: str, installed: bool = False) -> Path | None:
    """The source file of a module, found without importing the packages above it."""
    top, *inner = name.split(".")
    if not all(part.isidentifier() for part in inner):  # a slash would lead to another folder
        return None
    for place in _folders_or_file(top, installed):
        if not inner and place.is_file():
            return place
        path = place.joinpath(*inner)
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if _is_there(file) and (inner or file.parent == place):
                return file
    return None


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a longer name than a file can have
        return False


def _folders_or_file(top: str, installed: bool = False) -> Iterator[Path]:
    """Where a top-level module lies; nothing for a library unless `installed`."""
    try:
        spec = importlib.util.find_spec(top) if top.isidentifier() else None
    except ValueError:  # a module such as __main__, which was not found by an import
        spec = None
    if spec is None or top in sys.stdlib_module_names:
        return
    places = [Path(one) for one in spec.submodule_search_locations or [spec.origin or ""]]
    for place in places:
        if installed or top in OURS or not {"site-packages", "dist-packages"} & set(place.parts):
            yield place


def _defines(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _original(node: ast.Import | ast.ImportFrom, name: str) -> str:
    return next(alias.name for alias in node.names if (alias.asname or alias.name) == name)

"""The config keys of a class or function that a `_target_` names: its parameters with type,
default and documentation.

Reads source files. Modules of this project and of a user's own are parsed and never imported, so
that `--help` and a run's identity need neither torch nor Lightning; an installed library is
imported instead. Used to complete, check, document and identify configs.
"""

import ast
import dataclasses
import importlib
import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meld_lightning.config.docstrings import argument_docs
from meld_lightning.config.modules import Module, locate
from meld_lightning.errors import Stopped, UserError


class _NoDefault:
    def __repr__(self) -> str:
        return "NO_DEFAULT"


NO_DEFAULT: Final = _NoDefault()


@dataclass(frozen=True)
class Parameter:
    """One key that a config may give.

    Args:
        name: the key.
        annotation: the evaluated type, `Annotated` included; Any where there is none, or where it
            names something that would have to be imported.
        default: its value; NO_DEFAULT where a config has to give one.
        doc: its entry in the docstring's Args section, on one line; may be empty.
    """

    name: str
    annotation: Any
    default: Any
    doc: str


def parameters(target: str) -> dict[str, Parameter]:
    """Parameters of the class or function at the dotted path `target`, in the order of its
    signature.

    Keyword-only parameters without a default are omitted: code supplies them, not the config. The
    parameters of a base class are included where a class has no constructor of its own or passes
    `**options` on to its base. Raises UserError where there is no such object.
    """
    found = read_parameters(target)
    return _imported(target) if found is None else found


def read_parameters(target: str) -> dict[str, Parameter] | None:
    """The same, read from source; None where the object has to be imported to know them."""
    found = locate(target)
    try:
        if found and isinstance(found[1], (ast.ClassDef, ast.FunctionDef)):
            return _read(*found)
    except NameError:  # a default that only an import can evaluate
        pass
    return None


def summary(target: str) -> str:
    """The first paragraph of the docstring of the object at the dotted path `target`; empty where
    the object has to be imported."""
    found = locate(target)
    if not found or not isinstance(found[1], (ast.ClassDef, ast.FunctionDef)):
        return ""
    return (ast.get_docstring(found[1]) or "").partition("\n\n")[0]


def class_attribute(target: str, name: str) -> Any:
    """The class attribute `name` of the class at the dotted path `target`, its bases included.

    Raises UserError where there is no such class or attribute.
    """
    found = locate(target)
    if found and isinstance(found[1], ast.ClassDef):
        try:
            if assigned := _assigned(found[0], found[1], name):
                return assigned[0].evaluate(assigned[1])
        except NameError:  # a value that only an import can evaluate
            pass
    imported = _import(target)
    if not hasattr(imported, name):
        raise UserError(
            f"_target_={target}: the class has no attribute `{name}`, which every datamodule sets"
        )
    return getattr(imported, name)


def _assigned(module: Module, node: ast.ClassDef, name: str) -> tuple[Module, ast.expr] | None:
    """The module and expression that assign `name` in the class or, failing that, in its first base
    that does."""
    for one in node.body:
        targets = one.targets if isinstance(one, ast.Assign) else []
        if isinstance(one, ast.AnnAssign):
            targets = [one.target]
        value = getattr(one, "value", None)
        if value is not None and any(isinstance(t, ast.Name) and t.id == name for t in targets):
            return module, value
    for base in node.bases:
        found = module.follow(base.id) if isinstance(base, ast.Name) else None
        if not (found and isinstance(found[1], ast.ClassDef)):
            continue
        if assigned := _assigned(found[0], found[1], name):
            return assigned
    return None


def _read(module: Module, node: ast.stmt) -> dict[str, Parameter]:
    """Parameters of a parsed class or function."""
    if isinstance(node, ast.FunctionDef):
        return _of_function(module, node, argument_docs(ast.get_docstring(node, clean=False)))
    assert isinstance(node, ast.ClassDef)
    docs, init = _class_docs(module, node), _constructor(node)
    own = _of_function(module, init, docs) if init else _of_fields(module, node, docs)
    if init is None or init.args.kwarg:
        given = _given_to_base(init) if init else set()
        for base in _bases(module, node):
            left = {name: one for name, one in _read(*base).items() if name not in given}
            own = {**left, **own}
    return own


def _given_to_base(init: ast.FunctionDef) -> set[str]:
    """Arguments that a constructor passes to super().__init__ by name: no config may give them."""
    calls = [one for one in ast.walk(init) if isinstance(one, ast.Call)]
    return {
        keyword.arg
        for call in calls
        if ast.unparse(call.func) == "super().__init__"
        for keyword in call.keywords
        if keyword.arg is not None
    }


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    own = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    return next((one for one in own if one.name == "__init__"), None)


def _bases(module: Module, node: ast.ClassDef) -> list[tuple[Module, ast.ClassDef]]:
    """The base classes that can be read without an import."""
    named = [module.follow(base.id) for base in node.bases if isinstance(base, ast.Name)]
    return [(one[0], one[1]) for one in named if one and isinstance(one[1], ast.ClassDef)]


def _class_docs(module: Module, node: ast.ClassDef) -> dict[str, str]:
    """Docs of a class's arguments; arguments it does not document inherit their base class's."""
    docs: dict[str, str] = {}
    for base in _bases(module, node):
        docs = {**_class_docs(*base), **docs}
    init = _constructor(node)
    own = argument_docs(ast.get_docstring(node, clean=False))
    return {**docs, **own, **(argument_docs(ast.get_docstring(init, clean=False)) if init else {})}


def _of_function(
    module: Module, function: ast.FunctionDef, docs: Mapping[str, str]
) -> dict[str, Parameter]:
    spec = function.args
    positional = [*spec.posonlyargs, *spec.args]
    required: list[ast.expr | None] = [None] * (len(positional) - len(spec.defaults))
    pairs = list(zip(positional, [*required, *spec.defaults], strict=True))
    pairs = pairs[1:] if function.name == "__init__" else pairs
    pairs += [
        (argument, default)
        for argument, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True)
        if default is not None
    ]
    return {
        argument.arg: Parameter(
            argument.arg,
            module.annotation(argument.annotation),
            NO_DEFAULT if default is None else module.evaluate(default),
            docs.get(argument.arg, ""),
        )
        for argument, default in pairs
    }


def _of_fields(module: Module, node: ast.ClassDef, docs: Mapping[str, str]) -> dict[str, Parameter]:
    """Fields of a dataclass, which are the parameters of its constructor."""
    decorators = [ast.unparse(one).partition("(")[0] for one in node.decorator_list]
    if not any(one.rpartition(".")[2] == "dataclass" for one in decorators):
        return {}
    return {
        one.target.id: Parameter(
            one.target.id,
            module.annotation(one.annotation),
            NO_DEFAULT if one.value is None else _made(module.evaluate(one.value)),
            docs.get(one.target.id, ""),
        )
        for one in node.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
    }


def _made(default: Any) -> Any:
    """The default of a dataclass's field, which `field(default_factory=...)` makes."""
    if isinstance(default, dataclasses.Field) and callable(default.default_factory):
        return default.default_factory()
    return default


def _imported(target: str) -> dict[str, Parameter]:
    """Parameters of something that has to be imported to be known."""
    found = _import(target)
    constructor = found.__init__ if inspect.isclass(found) else found
    try:
        hints = typing.get_type_hints(constructor, include_extras=True)
    except (NameError, TypeError):  # annotations that name what is imported for type checkers only
        hints = {}
    docs = argument_docs(found.__doc__)
    return {
        name: Parameter(
            name,
            hints.get(name, Any),
            NO_DEFAULT if one.default is one.empty else one.default,
            docs.get(name, ""),
        )
        for name, one in inspect.signature(found).parameters.items()
        if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        and not (one.kind is one.KEYWORD_ONLY and one.default is one.empty)
    }


def _import(target: str) -> Any:
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except Stopped:  # by a signal that came while it was imported
        raise
    except Exception as error:  # whatever the import of a user's module raises
        raise UserError(f"_target_={target}: cannot be imported ({error})") from error

"""Finds the keys of each config node: from its model in nodes.py, or from the class its `_target_`
names. Used to complete, check and document configs."""

from collections.abc import Mapping
from typing import Annotated, Any, get_origin

from meld_lightning.config.modules import is_library
from meld_lightning.config.parts import Node
from meld_lightning.config.signatures import NO_DEFAULT, Parameter, parameters


def parameters_of(node: type[Node]) -> dict[str, Parameter]:
    """The keys of a node, described as the parameters of a class are."""
    found = {}
    for name, field in node.model_fields.items():
        annotation: Any = field.annotation
        if field.metadata:
            annotation = Annotated[(annotation, *field.metadata)]
        default = NO_DEFAULT if field.is_required() else field.get_default()
        key = field.alias or name  # `from` is no name in Python
        found[key] = Parameter(key, annotation, default, field.description or "")
    return found


def keys_below(parameter: Parameter, value: Any, imports: bool = True) -> dict[str, Parameter]:
    """The keys of the node that `parameter` holds; none where it holds a plain value.

    imports: whether a library may be imported for the keys of its class.
    """
    found: dict[str, Parameter] = {}
    if is_node(parameter.annotation):
        found = parameters_of(parameter.annotation)
    target = str(value["_target_"]) if isinstance(value, Mapping) and "_target_" in value else ""
    if target and (imports or not is_library(target)):
        found = {**parameters(target), **found}
    return found


def known_keys(known: Mapping[str, Parameter], tree: Mapping[str, Any]) -> list[str]:
    """Every dotted key that a config may have, given the classes `tree` names."""
    found = []
    for name, one in known.items():
        value = tree.get(name)
        below = value if isinstance(value, Mapping) else {}
        found += [name, *(f"{name}.{key}" for key in known_keys(keys_below(one, value), below))]
    return found


def defaults_of(node: type[Node]) -> dict[str, Any]:
    """Every default that a node and the nodes inside it state. A key without a default gets `???`,
    Hydra's mark for a missing value."""
    found: dict[str, Any] = {}
    for name, one in parameters_of(node).items():
        if is_node(one.annotation):
            found[name] = defaults_of(one.annotation)
        elif one.default is not NO_DEFAULT:
            found[name] = as_config(one.default)
        elif get_origin(one.annotation) is not dict:
            found[name] = "???"
    return found


def as_config(value: Any) -> Any:
    """A default as a config file would spell it: tuples are lists."""
    if isinstance(value, Mapping):
        return {key: as_config(inner) for key, inner in value.items()}
    return [as_config(one) for one in value] if isinstance(value, (tuple, list)) else value


def is_node(annotation: Any) -> bool:
    """Whether a key of that type is a node with keys of its own."""
    return isinstance(annotation, type) and issubclass(annotation, Node)

"""Refuses a wrong config before anything runs: unknown keys, missing values, wrong types, values
out of range, each in one line that says what was expected.

A node with a `_target_` is held against the signature of that class, any other against its model in
`nodes`; pydantic checks the values. Used by every command and by the launchers.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, TypeAdapter, ValidationError

from meld_lightning.config.keys import keys_below, known_keys, parameters_of
from meld_lightning.config.modules import PACKAGE, is_library
from meld_lightning.config.parts import Node
from meld_lightning.config.signatures import NO_DEFAULT, Parameter, parameters
from meld_lightning.config.suggestions import suggestion
from meld_lightning.config.tree import plain
from meld_lightning.config.words import choices, counted, in_words, range_in_words
from meld_lightning.errors import UserError, near_miss

CONFIG = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
ARTICLE = re.compile(r"^(whole number|number|list|mapping|path)")
OUT_OF_RANGE = {
    "greater_than",
    "greater_than_equal",
    "less_than",
    "less_than_equal",
    "finite_number",
}


class _UnknownKeyError(Exception):
    """Names a key, in dotted form, that no node has."""


def check(cfg: DictConfig, node: type[Node]) -> None:
    """Raises UserError for the first key of `cfg` that is unknown, lacks a value or has a wrong
    one; `node` is the model of the command.

    The nodes of a library's classes are checked last: importing the library may take seconds.
    """
    missing = OmegaConf.missing_keys(cfg)
    if missing:
        key = sorted(missing)[0]
        raise UserError(f"config key '{key}' has no value: give it as {key}=...")
    tree = plain(cfg)
    known = parameters_of(node)
    try:
        for libraries in (False, True):
            _check_keys(tree, known, "", libraries)
    except _UnknownKeyError as error:
        hint = suggestion(str(error), known_keys(known, tree))
        raise UserError(f"config key '{error}' is not known{hint}") from None


def _check_keys(
    tree: Mapping[str, Any], known: Mapping[str, Parameter], where: str, libraries: bool
) -> None:
    """libraries: whether the nodes of libraries' classes are checked too."""
    for key, value in tree.items():
        full = f"{where}{key}"
        if where and str(key).startswith("_"):  # _target_ and its like, which Hydra reads
            continue
        if key not in known:
            raise _UnknownKeyError(full)
        if _of_library(value) and not libraries:
            continue
        if inner := keys_below(known[key], value):
            if not isinstance(value, Mapping):
                raise UserError(f"{full}={value!r}: expected the keys {', '.join(inner)}")
            _check_keys(value, inner, f"{full}.", libraries)
        else:
            _check_value(full, value, known[key].annotation)
            _check_inside(value, f"{full}.", libraries)
    for key, one in known.items():
        if key not in tree and one.default is NO_DEFAULT and not tree.get("_partial_"):
            raise UserError(
                f"config key '{where}{key}' is missing: a file under conf/ has to give it a value"
            )


def _check_inside(value: Any, where: str, libraries: bool) -> None:
    """Nodes with a `_target_` somewhere inside a plain mapping."""
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        if _of_library(inner) and not libraries:
            continue
        if isinstance(inner, Mapping) and "_target_" in inner:
            _check_keys(inner, parameters(str(inner["_target_"])), f"{where}{key}.", libraries)
        else:
            _check_inside(inner, f"{where}{key}.", libraries)


def _of_library(value: Any) -> bool:
    return isinstance(value, Mapping) and is_library(str(value.get("_target_", PACKAGE)))


def _check_value(key: str, value: Any, annotation: Any) -> None:
    if annotation is Any:
        return
    try:
        # as JSON: a list may fill a tuple, but neither "3" nor true passes for a number
        TypeAdapter(annotation, config=CONFIG).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        expected = ARTICLE.sub(r"a \1", in_words(annotation))
        first = error.errors()[0]
        if first["type"] in OUT_OF_RANGE:
            expected = range_in_words(annotation) or expected
        if first["type"] == "too_short":
            expected = f"at least {counted(first['ctx']['min_length'], 'value')}"
        if first["type"] == "string_too_short":
            expected = "text that is not empty"
        hint = near_miss(str(value), choices(annotation))
        raise UserError(f"{key}={_shown(value)}: expected {expected}{hint}") from None


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value)

"""Refuses a wrong config before anything runs: unknown keys, missing values, wrong types, values
out of range, each in one line that says what was expected.

A node with a `_target_` is held against the signature of that class, any other against its model in
`nodes`; pydantic checks the values. Used by every command and by the launchers.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, TypeAdapter, ValidationError

from meld_lightning.config.keys import keys_below, known_keys, parameters_of
from meld_lightning.config.parts import Node
from meld_lightning.config.signatures import NO_DEFAULT, Parameter, parameters
from meld_lightning.config.suggestions import suggestion
from meld_lightning.config.tree import plain
from meld_lightning.config.words import choices, in_words, range_in_words
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


def check(cfg: DictConfig, node: type[Node]) -> None:
    """Raises UserError for the first key of `cfg` that is unknown, lacks a value or has a wrong
    one; `node` is the model of the command."""
    missing = OmegaConf.missing_keys(cfg)
    if missing:
        key = sorted(missing)[0]
        raise UserError(f"config key '{key}' has no value: give it as {key}=...")
    tree = plain(cfg)
    known = parameters_of(node)
    _check_keys(tree, known, "", known_keys(known, tree))


def _check_keys(
    tree: Mapping[str, Any], known: Mapping[str, Parameter], where: str, everywhere: Iterable[str]
) -> None:
    for key, value in tree.items():
        full = f"{where}{key}"
        if where and str(key).startswith("_"):  # _target_ and its like, which Hydra reads
            continue
        if key not in known:
            raise UserError(f"config key '{full}' is not known{suggestion(full, everywhere)}")
        if inner := keys_below(known[key], value):
            if not isinstance(value, Mapping):
                raise UserError(f"{full}={value!r}: expected the keys {', '.join(inner)}")
            _check_keys(value, inner, f"{full}.", everywhere)
        else:
            _check_value(full, value, known[key].annotation)
            _check_inside(value, f"{full}.", everywhere)
    for key, one in known.items():
        if key not in tree and one.default is NO_DEFAULT and not tree.get("_partial_"):
            raise UserError(
                f"config key '{where}{key}' is missing: a file under conf/ has to give it a value"
            )


def _check_inside(value: Any, where: str, everywhere: Iterable[str]) -> None:
    """Nodes with a `_target_` somewhere inside a plain mapping."""
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        if isinstance(inner, Mapping) and "_target_" in inner:
            _check_keys(inner, parameters(str(inner["_target_"])), f"{where}{key}.", everywhere)
        else:
            _check_inside(inner, f"{where}{key}.", everywhere)


def _check_value(key: str, value: Any, annotation: Any) -> None:
    if annotation is Any:
        return
    try:
        # as JSON: a list may fill a tuple, but neither "3" nor true passes for a number
        TypeAdapter(annotation, config=CONFIG).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        expected = ARTICLE.sub(r"a \1", in_words(annotation))
        if error.errors()[0]["type"] in OUT_OF_RANGE:
            expected = range_in_words(annotation) or expected
        hint = near_miss(str(value), choices(annotation))
        raise UserError(f"{key}={_shown(value)}: expected {expected}{hint}") from None


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value)

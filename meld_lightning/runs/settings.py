"""The settings of run folders, read fast enough for lists of thousands.

Reads config.yaml of run folders, finished or not, and of committed evidence; writes nothing. Of a
file only the top-level blocks that are asked for are parsed, and equal blocks of several runs once.
Used by `names` and by the room `listing`.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from meld_lightning.config.keys import defaults_of
from meld_lightning.config.nodes import Fuse, Train
from meld_lightning.config.parts import Optimizer
from meld_lightning.config.words import setting
from meld_lightning.errors import UserError, first_line
from meld_lightning.runs.identity import NOT_IDENTIFYING, canonical
from meld_lightning.runs.result import AGAIN

BLOCK = re.compile(r"(?m)^(?=[^\s-])")
MISSING = object()  # what `Settings.get` gives for a key that the config does not have
# the C parser of libyaml, ten times faster, is part of PyYAML's wheels, but not of every build
SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NAMED_ELSEWHERE = ("corpus", "fusion", "seed", "checkpoint", "modalities")
FIRST = {"model": 0, "data": 1, "optimizer": 2, "scheduler": 3}


class Settings:
    """The settings of the run in `folder`; UserError where config.yaml cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def blocks(self) -> dict[str, str]:
        """Top-level key -> its text in config.yaml."""
        file = self.folder / "config.yaml"
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            said = "missing" if isinstance(error, FileNotFoundError) else str(error)
            raise UserError(f"{self.folder}: damaged config.yaml ({said}); {AGAIN}") from error
        return {part.partition(":")[0]: part for part in BLOCK.split(text) if part.strip()}

    @property
    def fuses(self) -> bool:
        """Whether this is a fusion rather than a training."""
        return "fusion" in self.blocks

    def block(self, name: str) -> Any:
        """The value of a top-level key; MISSING where there is none."""
        if name not in self.blocks:
            return MISSING
        try:
            return parsed(self.blocks[name])[name]
        except (yaml.YAMLError, ValueError, KeyError, TypeError, RecursionError) as error:
            said = first_line(error)
            raise UserError(f"{self.folder}: damaged config.yaml ({said}); {AGAIN}") from error

    def get(self, key: str) -> Any:
        """The value of a dotted key, or MISSING. A node gives its name: `model` is `model.name`,
        and the class where it has none."""
        root, *inner = key.split(".")
        value = self.block(root)
        for part in inner:
            value = value.get(part, MISSING) if isinstance(value, Mapping) else MISSING
        if isinstance(value, Mapping) and ("name" in value or "_target_" in value):
            return value.get("name", str(value.get("_target_")).rpartition(".")[2])
        return value

    def flat(self) -> dict[str, Any]:
        """Every dotted key that determines the result, with its value."""
        return {
            key: value
            for root in self.blocks
            if root not in NOT_IDENTIFYING
            for key, value in leaves({root: self.block(root)})
        }

    @cached_property
    def differing(self) -> dict[str, str]:
        """Last part of a key -> value, as people write it, of the settings that differ from the
        defaults of the code. The corpus, a checkpoint and how a fusion fits are not among them."""
        found: dict[str, str] = {}
        for root in sorted(self.blocks, key=lambda name: FIRST.get(name, len(FIRST))):
            if root not in NOT_IDENTIFYING and root not in NAMED_ELSEWHERE:
                self.block(root)  # says which file is damaged
                found.update(_differing(root, self.blocks[root], self.fuses))
        if self.get("corpus.split") not in (MISSING, None):
            found["fold"] = str(self.get("corpus.fold"))
        return found


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of a nested mapping; an empty mapping is a value."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def check_stored(text: str) -> None:
    """ValueError or YAMLError unless the text of a stored config is plain: it may come from
    anybody.

    A run's config is written resolved and without aliases. `${oc.env:NAME}` would read the
    environment, and a few aliases of aliases make a config of any size.
    """
    if "${" in text:
        raise ValueError("it holds an interpolation ${...}; expected a resolved config")
    if "*" in text and any(
        isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=SafeLoader)
    ):
        raise ValueError("it holds a YAML alias *...; expected none")


@functools.lru_cache(maxsize=4096)
def parsed(text: str) -> Any:
    """The value of a stored config, or of blocks of one; ValueError or YAMLError as `check_stored`
    raises, or for damage. Equal texts give one value: callers do not change it."""
    check_stored(text)
    return yaml.load(text, Loader=SafeLoader)  # noqa: S506 -- safe, by another name


@functools.lru_cache(maxsize=4096)
def _differing(root: str, text: str, fuses: bool) -> tuple[tuple[str, str], ...]:
    value = canonical(parsed(text)[root], importing=False)
    defaults = _defaults(fuses)
    found = []
    for key, one in leaves({root: value}):
        leaf = key.rpartition(".")[2]
        from_file = root == "optimizer" and leaf not in Optimizer.model_fields
        if leaf in ("class", "name", "source", "checkpoint") or from_file:
            continue
        if defaults.get(key, MISSING) != one:
            found.append((leaf, setting(one)))
    return tuple(found)


@functools.cache
def _defaults(fuses: bool) -> dict[str, Any]:
    return dict(leaves(defaults_of(Fuse if fuses else Train)))

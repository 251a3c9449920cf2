"""The config tree as code sees it: where conf/ lies, which keys and types each node takes, and what
was probably meant.

Reads conf/ (beside the package in a checkout, inside it in a wheel). Used by every command, by the
launchers and by the report; imports neither torch nor Lightning until a node with a `_target_` is
checked.
"""

import functools
import inspect
import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union

from omegaconf import DictConfig, OmegaConf

from meld_lightning.errors import UserError, near_miss


@dataclass
class Paths:
    """Where things lie, relative to the working folder; never hashed."""

    cache: str
    runs: str
    experiments: str


@dataclass
class CorpusNode:
    """conf/corpus/."""

    name: str
    layout: str  # checked where it is looked up: corpus/readers/layout.py
    root: str
    split: Literal["speaker", "dialogue", "row"] | None
    folds: int
    fold: int
    test: str | None


@dataclass
class MediaNode:
    """conf/media/."""

    keep: list
    every: int
    size: int
    rate: int
    channels: Literal["center", "mean"]
    decoder: Literal["pyav", "decord"]
    timeout_s: float
    processes: int


@dataclass
class Numerics:
    """What changes the last digits of a result and so belongs to its hash; fixed numbers, never
    detected."""

    precision: Literal["32-true", "bf16-mixed"]
    world_size: int
    threads: int
    deterministic: bool


@dataclass
class Machine:
    """On what a run is computed; never hashed."""

    accelerator: Literal["auto", "cpu", "cuda", "mps"]
    workers: int
    checkpoint_every_s: float


@dataclass
class Scheduler:
    """Learning rate over the steps; `warmup` is a share of all steps."""

    name: Literal[
        "linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"
    ]
    warmup: float


@dataclass
class Study:
    """conf/study/."""

    name: str
    title: str
    note: str
    compare_to_paper: bool
    seeds: list
    tables: list


@dataclass
class Common:
    """The nodes that every command shares (conf/common.yaml)."""

    paths: Paths
    corpus: CorpusNode
    media: MediaNode
    checkpoints: dict
    numerics: Numerics
    machine: Machine
    study: Study
    table: dict
    target: Literal["emotion", "sentiment"]
    rerun: bool


@dataclass
class Train(Common):
    """conf/train.yaml."""

    data: Any
    model: Any
    optimizer: Any
    scheduler: Scheduler
    logger: Any
    seed: int
    epochs: int
    gradient_clip: float
    eval_batch_size: int
    monitor: str


@dataclass
class Fuse(Common):
    """conf/fuse.yaml."""

    fusion: Any
    runs: dict
    modalities: list | None
    folds: int
    monitor: str
    seed: int


@dataclass
class Prepare(Common):
    """conf/prepare.yaml."""

    shard: int


@dataclass
class Tables(Common):
    """Nodes of `reproduce` and `report`."""

    tables: list
    logger: Any


@dataclass
class Dashboards(Common):
    """conf/dashboards.yaml."""

    logger: Any
    monitor: str


# Inclusive; beyond them a run would fail late or, worse, in silence.
RANGES: dict[str, tuple[float, float | None]] = {
    "corpus.folds": (2, None),
    "corpus.fold": (0, None),
    "media.every": (1, None),
    "media.size": (8, None),
    "media.rate": (1000, None),
    "media.timeout_s": (0.01, None),
    "media.processes": (0, None),
    "numerics.world_size": (1, None),
    "numerics.threads": (1, 1024),
    "machine.workers": (0, None),
    "machine.checkpoint_every_s": (0, None),
    "data.batch_size": (1, None),
    "data.max_seconds": (0.1, None),
    "model.dropout": (0, 1),
    "model.label_smoothing": (0, 1),
    "optimizer.lr": (0, None),
    "optimizer.weight_decay": (0, None),
    "scheduler.warmup": (0, 1),
    "folds": (2, None),
    "shard": (0, 1023),
    "fusion.steps": (1, None),
    "seed": (0, 2**32 - 1),
    "epochs": (1, None),
    "gradient_clip": (0, None),
    "eval_batch_size": (1, None),
}


def conf_dir() -> Path:
    """The folder of configs: meld_lightning/conf in a wheel, conf/ beside the package in a
    checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(f"no conf/ found in or beside {package}: reinstall meld-lightning")


def check(cfg: DictConfig, schema: type) -> None:
    """Raises UserError for the first key of `cfg` that nothing takes, or whose value has the wrong
    type.

    A node with a `_target_` is held against that class's signature, any other against its dataclass
    above.
    """
    _check_fields(cfg, typing.get_type_hints(schema), "")


def keys_of(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every key of a nested mapping in dotted form, inner nodes included."""
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from keys_of(value, f"{prefix}{key}.")


def plain(cfg: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """The config as plain dicts and lists, interpolations resolved unless told otherwise."""
    container = OmegaConf.to_container(cfg, resolve=resolve)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _check_fields(node: Mapping, hints: Mapping[str, Any], where: str) -> None:
    for key in node:
        full = f"{where}{key}"
        if key not in hints:
            raise UserError(
                f"config key '{full}' is not known{near_miss(full, [where + h for h in hints])}"
            )
        if OmegaConf.is_missing(node, key):
            raise UserError(f"config key '{full}' has no value: give it as {full}=...")
        _check_value(node[key], hints[key], full)
    missing = [key for key in hints if key not in node]
    if missing:
        raise UserError(
            f"config key '{where}{missing[0]}' is missing: the files under conf/ give it a value"
        )


def _check_value(value: Any, hint: Any, full: str) -> None:
    if OmegaConf.is_dict(value) and "_target_" in value:
        hints = _signature(value["_target_"], full)
        for key in value:
            if not str(key).startswith("_"):
                if key not in hints:
                    raise UserError(
                        f"config key '{full}.{key}' is not known{_suggest(full, key, hints)}"
                    )
                _check_value(value[key], hints[key], f"{full}.{key}")
    elif hasattr(hint, "__dataclass_fields__"):
        if not OmegaConf.is_dict(value):
            raise UserError(
                f"config key '{full}' must be a node with {', '.join(hint.__dataclass_fields__)}"
            )
        _check_fields(value, typing.get_type_hints(hint), f"{full}.")
    elif full in RANGES and isinstance(value, (int, float)) and not _within(value, *RANGES[full]):
        low, high = RANGES[full]
        raise UserError(
            f"{full}={value!r}: expected"
            f" {f'at least {low}' if high is None else f'{low} to {high}'}"
        )
    elif not _fits(value, hint):
        choices = (
            [str(c) for c in typing.get_args(hint)] if typing.get_origin(hint) is Literal else []
        )
        raise UserError(
            f"{full}={value!r}: expected {_spell(hint)}{near_miss(str(value), choices)}"
        )


def _suggest(full: str, key: Any, hints: Mapping[str, Any]) -> str:
    return near_miss(f"{full}.{key}", [f"{full}.{h}" for h in hints])


@functools.cache
def _signature(target: str, full: str) -> dict[str, Any]:
    """Parameter name -> type of what a config may give the class or function that a `_target_`
    names.

    A keyword-only parameter without default is none of them: the code that instantiates fills it
    in.
    """
    from hydra.utils import get_object

    try:
        found = get_object(target)
    except (
        Exception
    ) as error:  # whatever the import of a user's module raises belongs in the one line
        raise UserError(f"{full}._target_={target}: cannot be imported ({error})") from error
    parameters = inspect.signature(found).parameters
    hints = typing.get_type_hints(found.__init__ if inspect.isclass(found) else found)
    filled_in = {
        n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY and p.default is p.empty
    }
    return {name: hints.get(name, Any) for name in parameters if name not in filled_in | {"self"}}


def _within(value: float, low: float, high: float | None) -> bool:
    return low <= value < math.inf and (high is None or value <= high)  # False for nan too


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or (
        isinstance(hint, type)
        and not isinstance(value, (str, int, float, bool))
        and value is not None
    ):
        return hint not in (str, int, float, bool)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool):
        return isinstance(value, hint)
    if hint in (None, type(None)):
        return value is None
    return (
        origin is not None and not isinstance(value, (str, int, float, bool)) and value is not None
    )


def _spell(hint: Any) -> str:
    if typing.get_origin(hint) in (Union, types.UnionType, Literal):
        return " or ".join(
            "null" if a in (None, type(None)) else _spell(a) for a in typing.get_args(hint)
        )
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(
        hint, hint.__name__ if isinstance(hint, type) else str(hint)
    )

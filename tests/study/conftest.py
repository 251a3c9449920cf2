"""The table specs of conf/table/, and results of runs that nobody made."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from meld_lightning.runs.result import Result

TABLES = Path(__file__).parents[2] / "conf" / "table"


def table_specs() -> dict[str, Any]:
    """Every spec of conf/table/ by name, as the composed `table` node holds them."""
    return copy.deepcopy(_composed())


@cache
def _composed() -> dict[str, Any]:
    with initialize_config_dir(str(TABLES.parent), version_base="1.3"):
        node = OmegaConf.to_container(compose("common", ["+table=all"]).table)
    assert isinstance(node, dict)
    return {name: node[name] for name in sorted(map(str, node))}


def result_of(**values: Any) -> Result:
    """A plain result of a text run, changed as asked."""
    plain: dict[str, Any] = {
        "hash": "c0ffee",
        "config_hash": "c0ffee",
        "result_version": 1,
        "modality": "text",
        "model": "bert",
        "checkpoint": "bundled:tiny",
        "seed": 1,
        "fold": None,
        "labels": ("neutral", "joy"),
        "train_majority": "neutral",
        "digests": {"corpus": "c0ffee"},
        "metrics": {},
        "best": {"monitor": "val/weighted_f1"},
        "commit": "abc123",
        "dirty": False,
        "versions": {"torch": "2.0"},
        "device": "cpu",
        "source": "50c4ce",
    }
    return Result(**{**plain, **values})


@pytest.fixture
def tables() -> dict[str, Any]:
    return table_specs()

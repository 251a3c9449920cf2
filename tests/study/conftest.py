"""The table specs of conf/table/, and results of runs that nobody made."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from meld_lightning.runs.result import Result

TABLES = Path(__file__).parents[2] / "conf" / "table"


def table_specs() -> dict[str, Any]:
    """Every spec of conf/table/ by name, as the composed `table` node holds them."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted(TABLES.glob("*.yaml"))}


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

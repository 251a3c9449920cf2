"""A small logged run, and the comparison of what loggers hold with the run folder."""

import json
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from tests.tracking.wandb_offline import WatchedRun, read_runs

SMALL = ["train", "model=roberta", "optimizer.lr=1e-3", "data.batch_size=16", "epochs=2"]
STEP = "trainer/global_step"


def every_logger_at_once(folder: Path) -> list[str]:
    """Arguments of a `train` in `folder` that logs with every logger; writes the config they
    name."""
    (folder / "configs" / "logger").mkdir(parents=True)
    target = {"_target_": "tests.tracking.every_logger.every_logger"}
    OmegaConf.save(OmegaConf.create(target), folder / "configs" / "logger" / "every.yaml")
    return ["--config-dir", "configs", "logger=every"]


def logged(folder: Path) -> WatchedRun:
    [run] = read_runs(folder / "runs")
    return run


def assert_shows(
    rows: dict[int, dict[str, float]], run: Path, exactly: float = 1e-12, every_step: bool = True
) -> None:
    """rows, by step, hold every row of metrics.csv, the val scores of result.json, and the loss of
    every tenth step."""
    written = pd.read_csv(run / "metrics.csv").set_index("step")
    for step, row in written.iterrows():
        for name, value in row.items():
            assert rows[int(str(step))][str(name)] == pytest.approx(
                value, rel=exactly, abs=exactly
            ), name
    last, result = rows[int(written.index[-1])], json.loads((run / "result.json").read_text())
    assert last["best/epoch"] == result["best"]["epoch"]
    val = result["metrics"]["val"]
    for name in ("weighted_f1", "accuracy", "loss"):
        assert last[f"best/val/{name}"] == pytest.approx(val[name], rel=exactly, abs=exactly)
    f1 = {label: last[f"best/val/f1/{label}"] for label in result["labels"]}
    assert f1 == pytest.approx(val["f1"], rel=exactly, abs=exactly)
    steps = sorted(step for step, row in rows.items() if "train/loss" in row)
    expected_steps = list(range(10, int(written.index[-1]) + 1, 10))
    assert steps == expected_steps if every_step else set(steps) <= set(expected_steps)
    assert expected_steps[-1] in steps
    assert all(row["lr"] <= 1e-3 for row in rows.values() if "lr" in row)

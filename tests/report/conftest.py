"""Fake finished runs on disk, with known logits, the real conf/table/*.yaml, and tables rendered
from both."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf
from sklearn import metrics as sk

from meld_lightning.report import statistics as st
from meld_lightning.report.render import render_tables
from meld_lightning.report.results import Material, study_results
from meld_lightning.runs.logits import logit_columns, logits_of
from meld_lightning.runs.result import Result, read_result, write_result
from meld_lightning.study.kinds import read_tables
from meld_lightning.study.plan import needed_rows
from tests.study.conftest import result_of, table_specs

LABELS = ["neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear"]
SHARES = [0.47, 0.16, 0.11, 0.12, 0.08, 0.03, 0.03]
REPORT = {
    "table_01": {"paper": None, "official": None, "found": {"train": 400, "val": 120, "test": 300}}
}


Make = Callable[..., Any]
Spec = dict[str, Any]


@dataclass(frozen=True)
class FakeRun:
    """Like meld_lightning.runs.run.Run, but reads its folder each time, because tests change it."""

    folder: Path

    @property
    def result(self) -> Result:
        return read_result(self.folder)

    def change(self, **values: Any) -> None:
        """Changes its result.json."""
        write_result(self.folder, replace(self.result, **values))

    @property
    def config(self) -> DictConfig:
        config = OmegaConf.load(self.folder / "config.yaml")
        assert isinstance(config, DictConfig)
        return config

    def again(self, seed: int) -> FakeRun:
        """The same figures under another seed."""
        folder = self.folder.with_name(f"{self.folder.name}-again-{seed}")
        shutil.copytree(self.folder, folder)
        run = FakeRun(folder)
        run.change(seed=seed, hash=folder.name)
        return run

    def logits(self, split: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "logits" / f"{split}.parquet")


def reference(frame: pd.DataFrame, labels: Sequence[str]) -> dict[str, float]:
    """scikit-learn's metrics of a logits frame."""
    true, predicted = frame["label"], np.array(labels)[logits_of(frame, labels).argmax(1)]
    average: dict[str, Any] = {"y_true": true, "y_pred": predicted, "zero_division": 0}
    return {
        "accuracy": sk.accuracy_score(true, predicted),
        "weighted_f1": sk.f1_score(average="weighted", **average),
        "macro_f1": sk.f1_score(average="macro", **average),
        "weighted_precision": sk.precision_score(average="weighted", **average),
        "weighted_recall": sk.recall_score(average="weighted", **average),
        "macro_precision": sk.precision_score(average="macro", **average),
        "macro_recall": sk.recall_score(average="macro", **average),
    }


def split_frame(
    split: str, skill: float, seed: int, dialogues: int, labels: list[str]
) -> pd.DataFrame:
    """Logits of one run: the truth is the same for every skill and seed, the order of the rows is
    not."""
    truth = np.random.default_rng(len(split))  # 3 or 4: val and test differ
    lengths = truth.integers(1, 12, dialogues)
    keys = [f"{split}/dia{d}_utt{u}" for d, length in enumerate(lengths) for u in range(length)]
    true = truth.choice(
        len(labels), len(keys), p=np.array(SHARES[: len(labels)]) / sum(SHARES[: len(labels)])
    )
    guess = np.random.default_rng([seed, round(skill * 1000), len(split)])
    right = guess.random(len(keys)) < skill
    predicted = np.where(right, true, guess.integers(0, len(labels), len(keys)))
    logits = guess.normal(size=(len(keys), len(labels))).astype(np.float32)
    logits[np.arange(len(keys)), predicted] = 5
    frame = pd.DataFrame(
        {
            "key": keys,
            "label": np.array(labels)[true],
            "unit": [key.split("_")[0] for key in keys],
            "present": True,
        }
    )
    frame[logit_columns(labels)] = logits
    return frame.iloc[guess.permutation(len(keys))].reset_index(drop=True)


@cache
def stored_split(
    split: str, skill: float, seed: int, dialogues: int, labels: tuple[str, ...]
) -> tuple[bytes, dict[str, float]]:
    """`split_frame` as the content of a Parquet file, and its metrics with their n."""
    frame = split_frame(split, skill, seed, dialogues, list(labels))
    return frame.to_parquet(), {**reference(frame, labels), "n": len(frame)}


def grid_of(path: Path, grid: int = 0) -> dict[str, list[str]]:
    """The rows of a Markdown file's grid number `grid`, by their first cell; the headers under
    ''."""
    grids: list[list[list[str]]] = []
    last = ""
    for line in path.read_text().splitlines():
        if line.startswith("|:"):
            continue
        if line.startswith("| "):
            if not last.startswith("|"):
                grids.append([])
            grids[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        last = line
    headers, *rows = grids[grid]
    return {"": headers, **{row[0]: row[1:] for row in rows}}


def results(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., FakeRun]:
    """make_run(name, skill=.6, seed=1, ...) -> FakeRun."""

    def make(
        name: str,
        skill: float = 0.6,
        seed: int = 1,
        *,
        dialogues: int = 40,
        labels: list[str] = LABELS,
        corpus: str = "c0ffee",
        majority: str = "neutral",
        config: dict[str, Any] | None = None,
    ) -> FakeRun:
        folder = tmp_path / "runs" / f"{name}-{seed}"
        (folder / "logits").mkdir(parents=True)
        metrics: dict[str, Any] = {"train": {"fit_loss": 0.5 + seed / 100, "n": 999}}
        for split in ("val", "test"):
            content, found = stored_split(split, skill, seed, dialogues, tuple(labels))
            (folder / "logits" / f"{split}.parquet").write_bytes(content)
            metrics[split] = {**found, "loss": 1 + seed / 100}
        result = result_of(
            hash=f"hash-{name}-{seed}",
            seed=seed,
            labels=tuple(labels),
            train_majority=majority,
            digests={"corpus": corpus},
            metrics=metrics,
        )
        write_result(folder, result)
        OmegaConf.save(OmegaConf.create(config or {}), folder / "config.yaml")
        return FakeRun(folder)

    return make


@pytest.fixture
def sklearn_metrics() -> Callable[[pd.DataFrame, list[str]], dict[str, float]]:
    return reference


@pytest.fixture
def tables() -> dict[str, Any]:
    return table_specs()


@pytest.fixture
def study() -> dict[str, Any]:
    return {
        "name": "mini",
        "title": "The mini corpus",
        "note": "Says nothing about MELD.",
        "compare_to_paper": False,
    }


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to see every interval in its place; test_statistics.py tests them at full size."""
    monkeypatch.setattr(st, "RESAMPLES", 200)


@pytest.fixture
def runs(make_run: Make, tables: Spec) -> dict[tuple[str, str], list[Any]]:
    """One run, seed 1, of every text row; in each table the later row is the better one."""
    config = {"data": {"batch_size": 99}, "optimizer": {"lr": 3e-5, "weight_decay": 0.01}}
    skills = [0.40, 0.45, 0.60, 0.5, 0.55, 0.65]
    rows = needed_rows(tables, ["table_02", "table_04"])
    return {
        key: [make_run("-".join(key), skill, config=config)]
        for key, skill in zip(rows, skills, strict=True)
    }


@pytest.fixture
def render(tables: Spec, runs: Any, study: Spec, tmp_path: Path, few_resamples: None) -> Make:
    """render("table_02", seeds=[1], runs=..., ...) -> the folder written."""

    out = tmp_path / "out"

    def rendered(*selected: str, **changed: Any) -> Path:
        given = {
            "tables": tables,
            "runs": runs,
            "seeds": [1],
            "corpus_report": REPORT,
            "study": study,
        }
        given |= changed
        material = Material(**{**given, "tables": read_tables(given["tables"])})
        render_tables(material, study_results(material, selected), out)
        return out

    return rendered

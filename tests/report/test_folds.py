"""A table over folds: each utterance is predicted once, by the run that held it out, and all are
scored together as scikit-learn scores them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from meld_lightning.errors import UserError
from meld_lightning.report.folds import pooled
from meld_lightning.runs.logits import logit_columns
from meld_lightning.runs.result import Result
from tests.report.conftest import LABELS, grid_of, reference, results
from tests.study.conftest import result_of

Make = Callable[..., Any]
FOLDS = (0, 1)


@pytest.fixture
def folded(make_run: Make) -> list[Any]:
    """The runs of two seeds over two folds; the second fold's utterances are other ones."""
    runs = []
    for seed in (1, 2):
        for fold in FOLDS:
            run = make_run(f"fold{fold}", 0.5 + 0.1 * fold, seed, corpus=f"corpus{fold}")
            for split in ("val", "test"):
                path = run.folder / "logits" / f"{split}.parquet"
                frame = pd.read_parquet(path)
                frame["key"], frame["unit"] = (
                    f"f{fold}/" + frame["key"],
                    f"f{fold}/" + frame["unit"],
                )
                frame.to_parquet(path)
            run.change(fold=fold, model="mfcc")
            runs.append(run)
    return runs


def test_pooled_folds_match_scikit_learn(folded: list[Any], render: Make, tmp_path: Path) -> None:
    metrics = {"test/weighted_f1": "weighted F1", "test/accuracy": "accuracy"}
    spec = {
        "voices": {
            "title": "t",
            "folds": list(FOLDS),
            "rows": {"mfcc": ["model=mfcc"]},
            "metrics": metrics,
        }
    }
    out = render(
        "voices", tables=spec, runs={("voices", "mfcc"): pooled(folded, FOLDS)}, seeds=[1, 2]
    )
    text = (out / "voices" / "table.md").read_text()
    whole = [
        pd.concat([run.logits("test") for run in folded[start : start + 2]]) for start in (0, 2)
    ]
    expected = sum(reference(frame, LABELS)["weighted_f1"] for frame in whole) / 2
    headers, row = (
        grid_of(out / "voices" / "table.md")[""],
        grid_of(out / "voices" / "table.md")["mfcc"],
    )
    assert headers == ["row", "weighted F1", "accuracy", "n"]  # the paper has no such table
    assert row[0].startswith(f"{expected:.4f} ± ")
    assert row[-1] == str(len(whole[0]))
    assert (
        "one run for each of 2 folds, and each utterance is predicted by the run that held it out"
        in text
    )
    assert "accuracy 0.1429" in text
    rows = [
        row
        for row in results(out / "voices" / "results.csv")
        if row["row"] == "mfcc" and row["seed"]
    ]
    assert {(row["seed"], row["fold"]) for row in rows} == {("1", "all"), ("2", "all")}


def test_differing_provenance_of_folds_is_noted(folded: list[Any], render: Make) -> None:
    for run in folded[1::2]:
        run.change(commit="def456", source="0b501e7e")
    spec = {
        "voices": {
            "title": "t",
            "folds": list(FOLDS),
            "rows": {"mfcc": ["model=mfcc"]},
            "metrics": {"test/accuracy": "accuracy"},
        }
    }
    runs = {("voices", "mfcc"): pooled(folded, FOLDS)}
    out = render("voices", tables=spec, runs=runs, seeds=[1, 2])
    assert "the same way: commits abc123 and def456." in (out / "voices" / "table.md").read_text()


def test_a_seed_without_all_its_folds_is_missing(folded: list[Any]) -> None:
    assert [run.result.seed for run in pooled(folded[:3], FOLDS)] == [1]
    assert pooled(folded, ()) == folded


def test_two_runs_of_one_fold_are_refused(folded: list[Any]) -> None:
    folded[1].change(fold=0)
    with pytest.raises(UserError, match=f"{folded[0].folder} and .* are both seed 1, fold 0"):
        pooled(folded, FOLDS)


def test_folds_that_do_not_belong_together_are_refused(folded: list[Any]) -> None:
    folded[1].change(model="other")
    with pytest.raises(UserError, match="differ in model: they are not one row"):
        print(pooled(folded, FOLDS)[0].result)
    folded[1].change(model="mfcc")
    for split in ("val", "test"):
        folded[0].logits(split).drop(columns="present").to_parquet(
            folded[1].folder / "logits" / f"{split}.parquet"
        )
    with pytest.raises(UserError, match="twice"):
        print(pooled(folded, FOLDS)[0].result)


@dataclass(frozen=True)
class Fold:
    """A run that predicts correctly what it held out, and all that it has seen wrongly."""

    fold: int
    folds: int = 3
    seed: int = 1
    config: Any = None

    @property
    def folder(self) -> Path:
        return Path("runs") / f"fold{self.fold}"

    @property
    def result(self) -> Result:
        return result_of(
            seed=self.seed,
            fold=self.fold,
            labels=tuple(LABELS),
            hash=str(self.fold),
            digests={"corpus": str(self.fold)},
        )

    def logits(self, split: str) -> pd.DataFrame:
        """Utterance u is test in fold u % folds, val in the fold before, train in the others."""
        later = {"test": 0, "val": 1, "train": 2}[split]
        rows = [u for u in range(60) if u % self.folds == (self.fold + later) % self.folds]
        true = [u % len(LABELS) for u in rows]
        predicted = [label if split == "test" else (label + 1) % len(LABELS) for label in true]
        keys, labels = [f"utt{u}" for u in rows], [LABELS[label] for label in true]
        frame = pd.DataFrame({"key": keys, "label": labels, "unit": keys, "present": True})
        frame[logit_columns(LABELS)] = np.eye(len(LABELS))[predicted]
        return frame


def test_no_utterance_is_scored_by_a_run_that_has_seen_it() -> None:
    (run,) = pooled([Fold(2), Fold(0), Fold(1)], (0, 1, 2))
    metrics = run.result.metrics
    assert metrics["test"]["accuracy"] == 1
    assert metrics["val"]["accuracy"] == 0
    assert metrics["test"]["n"] == metrics["val"]["n"] == 60
    assert sorted(run.logits("test")["key"]) == sorted(f"utt{u}" for u in range(60))

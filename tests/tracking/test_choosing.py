"""Somebody who chooses between runs sees val: what `train` prints and logs, and a sweep's results,
hold no figure of test. The run is of a model that learns nothing and predicts one class only."""

import csv
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf
from sklearn.dummy import DummyClassifier
from sklearn.metrics import f1_score

from meld_lightning import load_run
from meld_lightning.launching.jobs import Job
from meld_lightning.launching.sweep import Sweep
from meld_lightning.metrics import METRICS
from meld_lightning.runs.identity import Identity
from tests.finished import only_run
from tests.tracking.logged import logged


@pytest.mark.slow
def test_train_prints_val_the_constant_baseline_and_that_one_class_is_predicted(
    constant: Path,
) -> None:
    printed, folder = (constant / "printed.txt").read_text(), only_run(constant)
    shown, result = folder.relative_to(constant), load_run(folder).result
    predicted = pd.read_parquet(folder / "predictions.parquet").set_index("split")
    train, val = predicted.loc["train"], predicted.loc["val"]
    dummy = DummyClassifier(strategy="most_frequent").fit(train[["text"]], train["true_label"])
    [common] = set(dummy.predict(val[["text"]]))
    [only] = set(val["predicted_label"])
    scores = [
        f1_score(val["true_label"], guess, average="weighted", zero_division=0)
        for guess in (val["predicted_label"], [common] * len(val))
    ]
    assert (
        f"{shown}: val/weighted_f1 {scores[0]:.4f} (epoch 1), constant baseline ({common})"
        f" {scores[1]:.4f}; test figures: result.json\n"
    ) in printed
    assert f"warning: {shown}: predicts one class only on val: {only}\n" in printed
    own = {f"{value:.4f}" for value in result.metrics["test"].values() if isinstance(value, float)}
    assert own.isdisjoint(printed.replace(",", " ").split())


@pytest.mark.slow
def test_no_logger_holds_a_figure_of_test(constant: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, wandb = only_run(constant), logged(constant)
    rows = pd.read_csv(folder / "csv" / "version_0" / "metrics.csv")
    events = EventAccumulator(str(folder / "tensorboard")).Reload().Tags()["scalars"]
    history = {key for row in wandb.history for key in row}
    kept = {"best/val/confusion_table", "best/val/predictions"}
    for names in (set(rows), set(events), set(wandb.summary), history):
        assert "best/val/weighted_f1" in names
        assert {name for name in names if "test" in name} == set()
    assert kept <= history
    tables = {wandb.history[-1][name]["path"] for name in kept}
    files = wandb.folders[0] / "files"
    on_disk = {str(path.relative_to(files)) for path in files.rglob("*.table.json")}
    assert on_disk == tables
    [shown] = [path for path in tables if "predictions" in path]
    val = set(load_run(folder).logits("val")["key"])
    assert {row[0] for row in json.loads((files / shown).read_text())["data"]} <= val


def test_a_sweeps_results_hold_val_alone(finished: Path, tmp_path: Path) -> None:
    folder = finished
    identity = Identity(folder=folder, hash=folder.name, config_hash="", digests={})
    job = Job("train", ["seed=1"], OmegaConf.create(), identity, folder.name)
    with Sweep([job], tmp_path):
        pass
    [row] = csv.DictReader((tmp_path / "results.csv").open())
    metrics = [f"val/{name}" for name in sorted((*METRICS, "loss", "n"))]
    assert list(row) == ["overrides", "run", "epoch", *metrics]
    assert float(row["val/accuracy"]) == load_run(folder).result.metrics["val"]["accuracy"]


@pytest.mark.slow
def test_a_sweep_says_which_run_predicts_one_class_only(
    constant: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(only_run(constant), tmp_path / "run"))
    identity = Identity(folder=folder, hash=folder.name, config_hash="", digests={})
    job = Job("train", ["optimizer.lr=0"], OmegaConf.create(), identity, folder.name, rerun=True)
    with caplog.at_level("INFO"), Sweep([job], tmp_path) as sweep:
        sweep.begin(job, tmp_path / "log")
        shutil.copyfile(only_run(constant) / "result.json", folder / "result.json")  # made again
        sweep.end(job, "")
    assert "[1/1] optimizer.lr=0: val/weighted_f1 0." in caplog.text
    assert "constant baseline (neutral) 0." in caplog.text
    assert "; predicts one class only: joy" in caplog.text

"""A finished run: what it leaves, that it is read rather than run again, and what is refused."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from meld_lightning import load_run
from meld_lightning.runs.logits import logits_of
from tests.finished import SMALL, only_run
from tests.running import Command, call, call_well, folder_over, start_and_kill


def test_a_run_leaves_what_others_read(finished: Path) -> None:
    run = load_run(finished)
    assert {path.name for path in finished.iterdir()} == {
        "checkpoints",
        "config.yaml",
        "logits",
        "metrics.csv",
        "predictions.csv",
        "predictions.parquet",
        "result.json",
    }
    history = pd.read_csv(finished / "metrics.csv")
    assert list(history["epoch"]) == [1, 2, 3]
    assert run.result.best["value"] == history["val/weighted_f1"].max()
    # nothing resumes a finished run: last.ckpt is gone
    [kept] = (finished / "checkpoints").iterdir()
    assert kept.name == "best.ckpt"
    torch.load(kept, weights_only=True)
    predictions = pd.read_parquet(finished / "predictions.parquet")
    pd.testing.assert_frame_equal(
        predictions.drop(columns="confidence"),
        pd.read_csv(finished / "predictions.csv", keep_default_na=False).drop(columns="confidence"),
        check_dtype=False,
    )
    assert {
        "key",
        "split",
        "speaker",
        "text",
        "true_label",
        "predicted_label",
        "confidence",
        "present",
    } == set(predictions)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_scikit_learn_agrees_with_every_metric(finished: Path, split: str) -> None:
    run = load_run(finished)
    frame, labels, printed = run.logits(split), list(run.result.labels), run.result.metrics[split]
    logits = logits_of(frame, labels, np.float32)
    true, predicted = frame["label"].to_numpy(), np.asarray(labels)[logits.argmax(1)]
    average = {"average": "weighted", "zero_division": 0}
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(true, predicted),
        "weighted_f1": sklearn_metrics.f1_score(true, predicted, **average),
        "weighted_precision": sklearn_metrics.precision_score(true, predicted, **average),
        "weighted_recall": sklearn_metrics.recall_score(true, predicted, **average),
        "macro_f1": sklearn_metrics.f1_score(true, predicted, average="macro", zero_division=0),
        "loss": sklearn_metrics.log_loss(
            true,
            torch.tensor(logits).double().softmax(1).numpy()[:, np.argsort(labels)],
            labels=sorted(labels),
        ),
    }
    assert {name: printed[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    per_class = sklearn_metrics.f1_score(
        true, predicted, labels=labels, average=None, zero_division=0
    )
    assert printed["f1"] == pytest.approx(dict(zip(labels, per_class, strict=True)))
    assert printed["n"] == len(frame)
    if split == "val":  # the epoch that was chosen is the epoch that is scored
        assert printed["weighted_f1"] == pytest.approx(run.result.best["value"])


@pytest.mark.slow
def test_asked_again_a_run_is_read(finished: Path) -> None:
    before = (finished / "result.json").stat().st_mtime_ns
    folder = finished.parents[2]
    again = call([*SMALL, "machine.checkpoint_every_s=5"], folder)
    assert again.returncode == 0, again.stderr
    assert (finished / "result.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_changed_data_is_refused_and_moved_data_is_the_same(
    finished: Path, prepared: Path, tmp_path: Path
) -> None:
    for name in (
        "mini",
        "elsewhere",
    ):  # the mini checkpoints are made from the first, wherever the corpus lies
        shutil.copytree(prepared / "cache" / "mini", tmp_path / "cache" / name)
    asked = [
        "corpus=meld",
        "corpus.name=mini",
        f"corpus.root={tmp_path / 'cache' / 'elsewhere'}",
        "checkpoints=mini",
    ]
    call_well(["prepare", *asked, "checkpoints.clip=null"], tmp_path)
    shutil.copytree(finished, tmp_path / "runs" / finished.parent.name / finished.name)
    read = call([*SMALL, *asked], tmp_path)
    assert read.returncode == 0, read.stderr
    assert only_run(tmp_path).name == finished.name

    csv = tmp_path / "cache" / "elsewhere" / "test_sent_emo.csv"
    csv.write_bytes(csv.read_bytes().replace(b",joy,", b",fear,", 1))
    refused = call([*SMALL, *asked], tmp_path)
    assert refused.returncode == 1
    assert "test_sent_emo.csv" in refused.stderr
    assert "meld-lightning prepare" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_result_says_where_it_comes_from(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    assert set(result["digests"]) == {"corpus", "checkpoint"}
    assert result["versions"]["torch"] == torch.__version__.split("+")[0]
    assert result["wall_s"] > 0
    assert result["peak_memory_mb"] > 0
    assert result["last"]["epoch"] == 3


@pytest.mark.slow
def test_a_damaged_checkpoint_or_token_cache_is_reported_with_a_remedy(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "damaged")
    start_and_kill([*SMALL, "machine.checkpoint_every_s=0.3"], folder, 0.0, signal.SIGKILL)
    [last] = folder.glob("runs/*/*/checkpoints/last.ckpt")
    last.write_bytes(last.read_bytes()[:100_000])
    refused = meld_lightning(*SMALL, cwd=folder)
    assert (refused.returncode, "last.ckpt: damaged; delete it" in refused.stderr) == (
        1,
        True,
    ), refused.stderr
    last.unlink()
    (folder / "cache").unlink()
    shutil.copytree(prepared / "cache", folder / "cache")
    for cache in (folder / "cache" / "tokens").glob("*/ids.npy"):
        cache.write_bytes(cache.read_bytes()[:-1] + b"\x01")
    assert meld_lightning("prepare", "checkpoints.clip=null", cwd=folder).returncode == 0
    refused = meld_lightning(*SMALL, cwd=folder)
    assert refused.returncode == 1
    assert "ids.npy: changed since it was written; delete" in refused.stderr, refused.stderr


@pytest.mark.slow
def test_a_read_only_folder_gets_one_line(prepared: Path, tmp_path: Path) -> None:
    folder = folder_over(prepared, tmp_path / "full")
    (folder / "runs").write_text("a file where a folder is wanted")
    refused = call(SMALL, folder)
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
    assert "runs" in refused.stderr

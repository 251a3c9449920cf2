"""What a user relies on in a run: it is exact after a kill, the same under DDP, and read rather
than run again."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from meld_lightning import load_run
from tests.running import Command, argv, environment, folder_over

SMALL = [
    "model=roberta",
    "optimizer.lr=1e-3",
    "data.batch_size=16",
]  # random weights, 1 million parameters


def only_run(folder: Path) -> Path:
    [result] = folder.glob("runs/*/*/result.json")
    return result.parent


def arguments(*extra: str) -> list[str]:
    return ["train", *SMALL, *extra]


@pytest.fixture(scope="module")
def finished(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished small run."""
    folder = folder_over(prepared, tmp_path_factory.mktemp("finished"))
    done = subprocess.run(
        argv(*arguments()),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return only_run(folder)


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
    assert run.result["best"]["value"] == history["val/weighted_f1"].max()
    for name in ("best", "last"):
        torch.load(finished / "checkpoints" / f"{name}.ckpt", weights_only=True)
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
    frame, labels, printed = run.logits(split), run.result["labels"], run.result["metrics"][split]
    logits = frame[labels].to_numpy()
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
        assert printed["weighted_f1"] == pytest.approx(run.result["best"]["value"])


def test_asked_again_a_run_is_read(finished: Path, meld_lightning: Command) -> None:
    before = (finished / "result.json").stat().st_mtime_ns
    folder = finished.parents[2]
    again = meld_lightning(*arguments("machine.checkpoint_every_s=5"), cwd=folder)
    assert again.returncode == 0, again.stderr
    assert (finished / "result.json").stat().st_mtime_ns == before


def assert_same_run(one: Path, other: Path) -> None:
    assert one.name == other.name
    for name in ("best", "last"):
        states = [
            torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
            for run in (one, other)
        ]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0]), name
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    for split in ("train", "val", "test"):
        pd.testing.assert_frame_equal(
            load_run(one).logits(split), load_run(other).logits(split), check_exact=True
        )


def start_and_kill(
    arguments: list[str],
    folder: Path,
    after_s: float,
    sign: signal.Signals,
    waiting_for: str = "checkpoints/last.ckpt",
) -> int:
    """Starts a run, waits for a file and `after_s` more, kills the run and its workers; gives its
    status."""
    process = subprocess.Popen(
        argv(*arguments),
        cwd=folder,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(folder.glob(f"runs/*/*/{waiting_for}")):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline, f"no {waiting_for} after two minutes"
        time.sleep(0.01)
    time.sleep(after_s)
    if sign == signal.SIGKILL:
        os.killpg(process.pid, sign)
    else:
        process.send_signal(sign)
    return process.wait(60)


@pytest.mark.parametrize(
    ("sign", "every_s"),
    [
        (signal.SIGKILL, 0.3),
        pytest.param(
            signal.SIGKILL, 3600, marks=pytest.mark.slow
        ),  # only the checkpoint of an epoch's end is there
        pytest.param(signal.SIGINT, 0.3, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 0.3, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_with_the_same_weights(
    sign: signal.Signals,
    every_s: float,
    finished: Path,
    prepared: Path,
    tmp_path: Path,
    meld_lightning: Command,
) -> None:
    """With dropout on, data workers, and the kill between two checkpoints, at a random moment."""
    folder = folder_over(prepared, tmp_path / "killed")
    asked = arguments(f"machine.checkpoint_every_s={every_s}", "machine.workers=2")
    status = start_and_kill(asked, folder, random.uniform(0.0, 0.6), sign)
    assert status == (-9 if sign == signal.SIGKILL else 130)
    assert not list(folder.glob("runs/*/*/result.json")), (
        "finished before it was killed: the test says nothing"
    )
    again = meld_lightning(*asked, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "going on from its last checkpoint" in again.stdout
    assert_same_run(only_run(folder), finished)


def test_two_processes_score_and_train_like_one(
    finished: Path, prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    """DDP over gloo: the same utterances, none twice; training equal to 1e-4 where no dropout is
    drawn."""
    runs = {}
    for world_size in (1, 2):
        folder = folder_over(prepared, tmp_path / str(world_size))
        done = meld_lightning(
            *arguments(
                "model.dropout=0",
                "epochs=1",
                "data.batch_size=31",
                f"numerics.world_size={world_size}",
            ),
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        runs[world_size] = load_run(only_run(folder))
    assert runs[1].result["hash"] != runs[2].result["hash"]
    for split in ("train", "val", "test"):
        one, two = runs[1].logits(split), runs[2].logits(split)
        assert list(one["key"]) == list(two["key"])
        labels = runs[1].result["labels"]
        np.testing.assert_allclose(one[labels], two[labels], atol=1e-4)
    assert runs[2].result["metrics"]["train"]["fit_loss"] == pytest.approx(
        runs[1].result["metrics"]["train"]["fit_loss"], abs=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_run_killed_while_it_scores_fits_no_step_again(
    sign: signal.Signals, finished: Path, prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "killed")
    status = start_and_kill(arguments(), folder, 0.0, sign, "logits/train.parquet")
    assert status == (-9 if sign == signal.SIGKILL else 130)
    assert not list(folder.glob("runs/*/*/result.json")), (
        "finished before it was killed: the test says nothing"
    )
    before = next(folder.glob("runs/*/*/metrics.csv")).stat().st_mtime_ns
    again = meld_lightning(*arguments(), cwd=folder)
    assert again.returncode == 0, again.stderr
    assert (only_run(folder) / "metrics.csv").stat().st_mtime_ns == before
    assert_same_run(only_run(folder), finished)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_ddp_run_ends_with_the_same_weights(
    sign: signal.Signals, prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    asked = arguments("numerics.world_size=2", "machine.checkpoint_every_s=0.3")
    calm, folder = (folder_over(prepared, tmp_path / name) for name in ("calm", "killed"))
    assert meld_lightning(*asked, cwd=calm).returncode == 0
    status = start_and_kill(asked, folder, random.uniform(0.0, 0.6), sign)
    assert status == (-9 if sign == signal.SIGKILL else 130)
    assert not list(folder.glob("runs/*/*/result.json")), (
        "finished before it was killed: the test says nothing"
    )
    again = meld_lightning(*asked, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert_same_run(only_run(folder), only_run(calm))


def test_two_processes_asking_for_one_run_run_it_once(prepared: Path, tmp_path: Path) -> None:
    folder = folder_over(prepared, tmp_path / "both")
    asked = argv(*arguments("epochs=1"))
    both = [
        subprocess.Popen(asked, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=180)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("another process is running it" in one for one in said) == 1
    assert only_run(folder)


def test_changed_data_is_refused_and_moved_data_is_the_same(
    finished: Path, prepared: Path, tmp_path: Path, meld_lightning: Command
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
    assert meld_lightning("prepare", *asked, "checkpoints.clip=null", cwd=tmp_path).returncode == 0
    shutil.copytree(finished.parents[1], tmp_path / "runs")
    read = meld_lightning("train", *SMALL, *asked, cwd=tmp_path)
    assert read.returncode == 0, read.stderr
    assert only_run(tmp_path).name == finished.name

    csv = tmp_path / "cache" / "elsewhere" / "test_sent_emo.csv"
    csv.write_bytes(csv.read_bytes().replace(b",joy,", b",fear,", 1))
    refused = meld_lightning("train", *SMALL, *asked, cwd=tmp_path)
    assert refused.returncode == 1
    assert "test_sent_emo.csv" in refused.stderr
    assert "meld-lightning prepare" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_result_says_where_it_comes_from(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    assert set(result["digests"]) == {"corpus", "checkpoint"}
    assert result["versions"]["torch"] == torch.__version__.split("+")[0]
    assert result["wall_s"] > 0
    assert result["peak_memory_mb"] > 100
    assert result["last"]["epoch"] == 3


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda run: (run / "logits" / "val.parquet").unlink(),
            "logits/val.parquet is gone; delete that folder",
        ),
        (lambda run: (run / "result.json").write_text('{"best": '), "damaged"),
    ],
)
def test_a_damaged_run_is_told_with_its_remedy(
    damage: Callable[[Path], None],
    said: str,
    finished: Path,
    prepared: Path,
    tmp_path: Path,
    meld_lightning: Command,
) -> None:
    folder = folder_over(prepared, tmp_path / "damaged")
    shutil.copytree(finished.parents[1], folder / "runs")
    damage(only_run(folder))
    refused = meld_lightning(*arguments(), cwd=folder)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    shutil.rmtree(only_run(folder))
    again = meld_lightning(*arguments(), cwd=folder)
    assert again.returncode == 0
    assert_same_run(only_run(folder), finished)


@pytest.mark.slow
def test_a_damaged_checkpoint_or_token_cache_is_told_with_its_remedy(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "damaged")
    start_and_kill(arguments("machine.checkpoint_every_s=0.3"), folder, 0.0, signal.SIGKILL)
    [last] = folder.glob("runs/*/*/checkpoints/last.ckpt")
    last.write_bytes(last.read_bytes()[:100_000])
    refused = meld_lightning(*arguments(), cwd=folder)
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
    refused = meld_lightning(*arguments(), cwd=folder)
    assert refused.returncode == 1
    assert "ids.npy: changed since it was written; delete" in refused.stderr, refused.stderr


def test_a_read_only_folder_gets_one_line(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "full")
    (folder / "runs").write_text("a file where a folder is wanted")
    refused = meld_lightning(*arguments(), cwd=folder)
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
    assert "runs" in refused.stderr

"""Runs over two processes (DDP over gloo): the same results as in one, and exact after a kill."""

import random
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from meld_lightning import load_run
from meld_lightning.runs.logits import logits_of
from meld_lightning.runs.run import Run
from tests.finished import SMALL, assert_same_run, only_run
from tests.running import Command, argv, environment, folder_over, run_well, start_and_kill

PLAIN = {  # nothing drawn at random in training
    "wav2vec2": ["model.dropout=0", "model.spec_augment=false"],
    "speech_probe": ["model.dropout=0"],
    "mfcc": ["model.dropout=0"],
    "clip_probe": ["model.dropout=0", "model.mixup=0", "model.pooling=attentive"],
}
# Adam divides a gradient by its own size, and so turns one that is only rounding (attention's, over
# frames that embed alike) into a full step. With this eps it stays small.
STEADY = "+optimizer.eps=1e-3"
DRAWN = {  # everything drawn that can be; one model for each kind of batch
    "wav2vec2": ["optimizer.lr=1e-3"],
    "speech_probe": ["data.speeds=[0.9]", "optimizer.lr=1e-3", "epochs=20"],
    "clip_probe": ["optimizer.lr=1e-2", "epochs=10"],
    "roberta": ["optimizer.lr=1e-3", "data.batch_size=32"],
}  # the smallest runs in the slow tests, the others in the long ones


@pytest.fixture(scope="module")
def calm_wav2vec2(with_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini corpus's wav2vec2 without a dropout in it."""
    [made] = with_clips.glob("cache/checkpoints/mini-wav2vec2-*/")
    folder = tmp_path_factory.mktemp("calm") / "wav2vec2"
    shutil.copytree(made, folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    for name in ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"):
        setattr(config, name, 0.0)
    config.save_pretrained(folder)
    return folder


def trained(command: Command, folder: Path, *asked: str) -> Path:
    done = command("train", *asked, cwd=folder)
    assert done.returncode == 0, done.stderr
    return only_run(folder)


@pytest.mark.parametrize(
    ("model", "lr", "within"),
    [
        pytest.param("wav2vec2", "1e-3", 1e-4, marks=pytest.mark.long),
        pytest.param("speech_probe", "1e-3", 1e-4, marks=pytest.mark.long),
        pytest.param("mfcc", "1e-3", 1e-4, marks=pytest.mark.slow),
        # nothing is fitted, so that only the scoring is compared
        pytest.param("clip", None, 1e-5, marks=pytest.mark.long),
        pytest.param("clip_probe", "1e-2", 1e-4, marks=pytest.mark.slow),
    ],
)
def test_two_processes_score_and_train_like_one(
    model: str,
    lr: str | None,
    within: float,
    calm_wav2vec2: Path,
    with_clips: Path,
    tmp_path: Path,
    meld_lightning: Command,
) -> None:
    asked = [f"model={model}", *PLAIN.get(model, []), "epochs=1", "data.batch_size=31"]
    asked += [f"optimizer.lr={lr}", STEADY] if lr else []
    if model == "wav2vec2":
        asked.append(f"checkpoints.wav2vec2={calm_wav2vec2}")
        assert meld_lightning("prepare", *asked[-1:], cwd=with_clips).returncode == 0
    runs = {}
    for world_size in (1, 2):
        folder = folder_over(with_clips, tmp_path / str(world_size))
        runs[world_size] = trained(
            meld_lightning, folder, *asked, f"numerics.world_size={world_size}"
        )
    assert_close(runs[1], runs[2], within)


def assert_counted_once(run: Run) -> None:
    """The metrics of a run's only epoch, summed over ranks, are those of its logits of val."""
    scored = run.result.metrics["val"]
    assert run.result.last is not None
    expected = {name: scored[name] for name in run.result.last["val"]}
    assert run.result.last["val"] == pytest.approx(expected, abs=1e-6)


def assert_close(one: Path, two: Path, within: float) -> None:
    runs = [load_run(folder) for folder in (one, two)]
    assert runs[0].result.hash != runs[1].result.hash
    for run in runs:
        assert_counted_once(run)
    for split in ("train", "val", "test"):
        logits = [run.logits(split) for run in runs]
        assert list(logits[0]["key"]) == list(logits[1]["key"])
        labels = list(runs[0].result.labels)
        np.testing.assert_allclose(
            logits_of(logits[0], labels), logits_of(logits[1], labels), atol=within, rtol=0
        )
    fitted = [run.result.metrics["train"].get("fit_loss", 0.0) for run in runs]
    assert fitted[0] == pytest.approx(fitted[1], abs=within)
    if (one / "checkpoints" / "best.ckpt").is_file():
        states = [
            torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
            for folder in (one, two)
        ]
        for name in states[0]:  # a normalisation's statistics among them
            torch.testing.assert_close(
                states[0][name], states[1][name], atol=within, rtol=within, msg=name
            )


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "clip_probe" else pytest.mark.long)
        for name in DRAWN
    ],
)
def test_a_killed_run_of_two_processes_ends_with_the_same_weights(
    model: str, with_clips: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    asked = [
        f"model={model}",
        *DRAWN[model],
        "numerics.world_size=2",
        "machine.checkpoint_every_s=0.2",
    ]
    calm, killed = (folder_over(with_clips, tmp_path / name) for name in ("calm", "killed"))
    trained(meld_lightning, calm, *asked)
    status = start_and_kill(["train", *asked], killed, random.uniform(0.0, 0.2), signal.SIGKILL)
    assert status == -9
    assert_same_run(trained(meld_lightning, killed, *asked), only_run(calm))


TEXT = [*SMALL, "model.dropout=0", "epochs=1", "data.batch_size=31"]
TWO = "numerics.world_size=2"


@pytest.fixture(scope="module")
def two(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on text of two processes, each an interpreter of its own, as a user's are."""
    folder = folder_over(prepared, tmp_path_factory.mktemp("two"))
    done = subprocess.run(
        argv(*TEXT, TWO),
        cwd=folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return only_run(folder)


@pytest.mark.slow
def test_two_processes_score_and_train_on_text_like_one(
    two: Path, prepared: Path, tmp_path: Path
) -> None:
    """DDP over gloo: the same utterances, none twice; training equal to 1e-4 where no dropout is
    drawn."""
    folder = folder_over(prepared, tmp_path / "one")
    run_well(argv(*TEXT), folder)
    assert_close(only_run(folder), two, 1e-4)


@pytest.mark.slow
def test_a_stopped_run_on_text_of_two_processes_ends_with_the_same_weights(
    two: Path, prepared: Path, tmp_path: Path
) -> None:
    """Stopped by Ctrl-C; the runs above are killed."""
    folder, asked = folder_over(prepared, tmp_path / "stopped"), [*TEXT, TWO]
    often = [*asked, "machine.checkpoint_every_s=0.1"]
    assert start_and_kill(often, folder, random.uniform(0.0, 0.1), signal.SIGINT) == 130
    run_well(argv(*asked), folder)
    assert_same_run(only_run(folder), two)

"""A run that runs out of memory goes on with smaller pieces of each batch, and ends as one that had
memory enough.

The models here say that they are out of memory for more than FITS utterances at once: from step
FROM on, and on rank ONLY alone where that is set.
"""

import os
import signal
import subprocess
import weakref
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from meld_lightning import load_run
from meld_lightning.data.text import TextBatch
from meld_lightning.models.text import TextClassifier
from meld_lightning.runs.logits import logits_of
from tests.finished import assert_same_run, only_run
from tests.running import Command, argv, call, folder_over, run_well, start_and_kill

# an epoch is 9 batches of 71, and one of a single utterance
SMALL = [
    "train",
    "model=roberta",
    "model._target_=tests.system.test_memory.Cramped",
    "optimizer.lr=1e-3",
    "data.batch_size=71",
    "eval_batch_size=32",
]


class Cramped(TextClassifier):
    """Fails as an allocator does, and where an earlier try's model was not let go."""

    held: ClassVar[weakref.WeakSet] = weakref.WeakSet()

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.held.add(self)
        assert len(self.held) == 1, "the model of the try before is still there"

    def forward(self, batch: TextBatch) -> torch.Tensor:
        here = os.environ.get("ONLY", str(self.global_rank)) == str(self.global_rank)
        if (
            here
            and len(batch.rows_N) > int(os.environ["FITS"])
            and self.global_step >= int(os.environ["FROM"])
        ):
            if self.global_step % 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            torch.empty(1 << 60, dtype=torch.uint8)  # which the CPU's own allocator refuses
        return super().forward(batch)


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    cramp(monkeypatch, 1000)


def cramp(monkeypatch: pytest.MonkeyPatch, fits: int, first: int = 0) -> None:
    monkeypatch.setenv("FITS", str(fits))
    monkeypatch.setenv("FROM", str(first))


def assert_equal_to(one: Path, other: Path, within: float) -> None:
    """Weights, losses and logits of two runs of the same config."""
    assert one.name == other.name
    states = [
        torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        for run in (one, other)
    ]
    assert all((states[0][key] - states[1][key]).abs().max() <= within for key in states[0])
    runs = [load_run(folder) for folder in (one, other)]
    for split in ("train", "val", "test"):
        found, expected = (logits_of(run.logits(split), run.result.labels) for run in runs)
        np.testing.assert_allclose(found, expected, atol=within)
    assert runs[0].result.metrics["train"]["fit_loss"] == pytest.approx(
        runs[1].result.metrics["train"]["fit_loss"], abs=within
    )
    assert runs[0].result.best == pytest.approx(runs[1].result.best, abs=within)


# 2 epochs, scored in batches of 100, and saved at every step
PLAIN = [
    *SMALL,
    "model.dropout=0",
    "machine.checkpoint_every_s=0",
    "epochs=2",
    "eval_batch_size=100",
]


@pytest.fixture(scope="module")
def fitting(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that had memory enough."""
    folder = folder_over(prepared, tmp_path_factory.mktemp("fitting"))
    run_well(argv(*PLAIN), folder, FITS="1000", FROM="0")
    return only_run(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fits", "first", "taken"),
    [
        # 71 utterances in microbatches of 36 and 35; what scores the first epoch is then too large
        (36, 0, [(0, 2), (9, 4)]),
        (25, 14, [(0, 1), (14, 4)]),  # in the middle of the second epoch
    ],
)
def test_a_run_that_did_not_fit_ends_as_one_that_did(
    fits: int,
    first: int,
    taken: list,
    fitting: Path,
    prepared: Path,
    tmp_path: Path,
    meld_lightning: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_run(fitting).result.accumulation == [{"from_step": 0, "microbatches": 1}]
    folder = folder_over(prepared, tmp_path / "cramped")
    cramp(monkeypatch, fits, first)
    done = meld_lightning(*PLAIN, cwd=folder)
    assert done.returncode == 0, done.stderr
    step, pieces = taken[-1]
    said = [line for line in done.stdout.splitlines() if "out of memory" in line]
    assert len(said) == np.log2(pieces)
    assert said[-1].endswith(f"resuming from step {step} with {pieces} microbatches per batch")
    found = load_run(only_run(folder)).result.accumulation
    assert [(one["from_step"], one["microbatches"]) for one in found] == taken
    assert_equal_to(only_run(folder), fitting, 1e-4)


@pytest.mark.slow
def test_a_run_in_pieces_is_exact_after_a_kill(
    prepared: Path, tmp_path: Path, meld_lightning: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout; the run that goes on knows its pieces without running out again."""
    cramp(monkeypatch, 36)
    asked = [*SMALL, "machine.checkpoint_every_s=0.2", "epochs=2"]
    calm, killed = (folder_over(prepared, tmp_path / name) for name in ("calm", "killed"))
    assert meld_lightning(*asked, cwd=calm).returncode == 0
    assert start_and_kill(asked, killed, 0.3, signal.SIGKILL) == -9
    again = meld_lightning(*asked, cwd=killed)
    assert again.returncode == 0, again.stderr
    assert "out of memory" not in again.stdout
    assert "resuming from its last checkpoint" in again.stdout
    assert load_run(only_run(killed)).result.accumulation[-1]["microbatches"] > 1
    assert_same_run(only_run(killed), only_run(calm))


@pytest.mark.slow
def test_one_of_two_ranks_that_runs_out_takes_the_other_along(
    prepared: Path, tmp_path: Path, meld_lightning: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [*SMALL, "model.dropout=0", "epochs=1", "numerics.world_size=2"]
    roomy, cramped = (folder_over(prepared, tmp_path / name) for name in ("roomy", "cramped"))
    assert meld_lightning(*asked, cwd=roomy).returncode == 0
    cramp(monkeypatch, 18)
    monkeypatch.setenv("ONLY", "1")
    done = meld_lightning(*asked, cwd=cramped)
    assert done.returncode == 0, done.stderr
    assert load_run(only_run(cramped)).result.accumulation == [{"from_step": 0, "microbatches": 2}]
    assert_equal_to(only_run(cramped), only_run(roomy), 1e-4)


def test_what_never_fits_gets_one_line(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cramp(monkeypatch, 0)
    folder = folder_over(prepared, tmp_path / "never")
    assert_refused(call([*SMALL, "data.batch_size=2", "eval_batch_size=2"], folder), folder)


@pytest.mark.slow
def test_what_never_fits_on_two_ranks_gets_one_line(
    prepared: Path, tmp_path: Path, meld_lightning: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    cramp(monkeypatch, 0)
    folder = folder_over(prepared, tmp_path / "never")
    small = ["data.batch_size=2", "eval_batch_size=2", "numerics.world_size=2"]
    assert_refused(meld_lightning(*SMALL, *small, cwd=folder), folder)


def assert_refused(refused: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert refused.returncode == 1
    [said] = [
        line for line in refused.stderr.splitlines() if not line.startswith("/")
    ]  # but for a library's warning
    assert all(
        words in said for words in ("one utterance at a time", "data.max_tokens", "numerics=bf16")
    )
    assert not list(folder.glob("runs/*/*/")), "a run that never began leaves nothing"

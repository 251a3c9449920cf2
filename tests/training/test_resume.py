"""A run that was killed ends with the same bits, and two processes share one run."""

import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from meld_lightning.models.text import TextClassifier
from tests.finished import SMALL, assert_same_run, only_run
from tests.running import (
    HANGS_S,
    Command,
    argv,
    call,
    call_well,
    folder_over,
    run,
    start,
    start_and_kill,
)
from tests.small import save_bert

TINY = ["corpus=manifest", "corpus.root=../tiny.csv", "checkpoints.bert=../bert"]
ROWS = [
    f"u{n},hello word{n % 3},{('joy', 'anger')[n % 2]},{('train', 'train', 'val', 'test')[n % 4]}"
    for n in range(32)
]


def test_a_stopped_run_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout on; stopped in the middle of the second of three epochs of four steps."""
    (tmp_path / "tiny.csv").write_text("\n".join(["id,text,emotion,split", *ROWS]))
    save_bert(tmp_path / "bert", ["hello", "word0", "word1", "word2"])
    undisturbed, stopped = tmp_path / "undisturbed", tmp_path / "stopped"
    undisturbed.mkdir()
    call_well(["prepare", *TINY, "media.keep=[]"], undisturbed)
    asked = ["train", *TINY, "model=bert", "model.pooling=mean", "data.batch_size=4"]
    call_well(asked, undisturbed)
    step = TextClassifier.training_step

    def interrupted(model: TextClassifier, *batch: Any) -> Any:
        if model.global_step == 6:
            signal.raise_signal(signal.SIGTERM)
        return step(model, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(TextClassifier, "training_step", interrupted)
        assert call(asked, folder_over(undisturbed, stopped)).returncode == 130
    again = call(asked, stopped)
    assert again.returncode == 0, again.stderr
    assert "resuming from its last checkpoint" in again.stdout
    assert "training starts" not in again.stdout
    assert_same_run(only_run(stopped), only_run(undisturbed))


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights(
    finished: Path, prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    """With dropout on, data workers, and the kill between two checkpoints, at a random moment."""
    folder = folder_over(prepared, tmp_path / "killed")
    asked = [*SMALL, "machine.checkpoint_every_s=0.3", "machine.workers=2"]
    assert start_and_kill(asked, folder, random.uniform(0.0, 0.6), signal.SIGKILL) == -9
    again = meld_lightning(*asked, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "resuming from its last checkpoint" in again.stdout
    assert_same_run(only_run(folder), finished)


# killed in place of writing result.json
KILLED_AT_THE_END = """
import os, signal, sys
from meld_lightning.commands.cli import main
from meld_lightning.training import fit
fit.write_result = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_run_stopped_while_it_scores_and_killed_before_its_result_fits_no_step_again(
    finished: Path, prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "killed")
    assert start_and_kill(SMALL, folder, 0.0, signal.SIGINT, "logits/train.parquet") == 130
    before = next(folder.glob("runs/*/*/metrics.csv")).stat().st_mtime_ns
    killed = run([sys.executable, "-c", KILLED_AT_THE_END, *SMALL], folder)
    assert killed.returncode == -signal.SIGKILL
    again = meld_lightning(*SMALL, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert "resuming from its last checkpoint" in again.stdout
    assert (only_run(folder) / "metrics.csv").stat().st_mtime_ns == before
    assert_same_run(only_run(folder), finished)


@pytest.mark.slow
def test_two_processes_asking_for_one_run_run_it_once(prepared: Path, tmp_path: Path) -> None:
    folder = folder_over(prepared, tmp_path / "both")
    both = [start(argv(*SMALL, "epochs=1"), folder) for _ in range(2)]
    assert [process.wait(HANGS_S) for process in both] == [0, 0]
    assert sum("another process is running it" in process.stdout for process in both) == 1
    assert only_run(folder)

"""A run that was killed ends with the same bits, and two processes share one run."""

import random
import signal
import subprocess
from pathlib import Path

import pytest

from tests.finished import assert_same_run, only_run
from tests.running import HANGS_S, Command, argv, environment, folder_over, start_and_kill
from tests.training.conftest import arguments


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


def test_two_processes_asking_for_one_run_run_it_once(prepared: Path, tmp_path: Path) -> None:
    folder = folder_over(prepared, tmp_path / "both")
    asked = argv(*arguments("epochs=1"))
    both = [
        subprocess.Popen(asked, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=HANGS_S)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("another process is running it" in one for one in said) == 1
    assert only_run(folder)

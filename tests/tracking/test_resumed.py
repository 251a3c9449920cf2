"""What a killed run has logged stays, and the resumed run adds to it."""

import signal
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.finished import only_run
from tests.forked import Forked
from tests.running import HANGS_S, Command, argv, folder_over, start, until
from tests.tracking.logged import SMALL, STEP, assert_shows, logged
from tests.tracking.wandb_offline import read_runs


def begun(asked: list[str], folder: Path) -> Forked:
    """A run that has ended its first epoch."""
    process = start(argv(*asked), folder)
    until(lambda: list(folder.glob("runs/*/*/metrics.csv")), process, "its first epoch ends")
    return process


def ended(process: Forked, folder: Path) -> None:
    """Waits for a run that was killed."""
    process.wait(HANGS_S)
    time.sleep(1)  # W&B's folders are named by the second
    assert not list(folder.glob("runs/*/*/result.json")), (
        "finished before it was killed: the test says nothing"
    )


def assert_one_run(folder: Path, every_step: bool) -> None:
    """W&B shows the killed run and the resumed one as one, with every epoch."""
    run = logged(folder)
    assert len(run.folders) == 2
    assert len(list((only_run(folder) / "wandb").glob("offline-run-*"))) == 2
    assert_shows(run.steps, only_run(folder), every_step=every_step)
    [first] = {row[STEP] for row in run.history if row.get("epoch") == 1}
    assert first == 40


@pytest.mark.slow
def test_a_stopped_run_and_the_resumed_one_are_one_run_with_its_full_history(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "run")
    asked = [*SMALL, "machine.checkpoint_every_s=0.2", "logger=wandb"]
    process = begun(asked, folder)
    process.send_signal(signal.SIGTERM)
    ended(process, folder)
    assert meld_lightning(*asked, cwd=folder).returncode == 0
    assert_one_run(folder, every_step=True)


@pytest.mark.slow
def test_what_is_logged_is_on_disk_before_a_kill_and_the_resumed_run_adds_to_it(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    """W&B's own process is killed, too, which loses what was logged in the last second."""
    folder = folder_over(prepared, tmp_path / "run")
    asked = [*SMALL, "epochs=4", "machine.checkpoint_every_s=0.2", "logger=wandb"]
    process = begun(asked, folder)
    written = pd.read_csv(next(folder.glob("runs/*/*/metrics.csv")))
    until(lambda: set(written["step"]) <= epochs_shown(folder), process, "an epoch is shown")
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()
    ended(process, folder)
    assert logged(folder).exit_code is None
    assert set(written["step"]) <= epochs_shown(folder)
    assert meld_lightning(*asked, cwd=folder).returncode == 0
    assert_one_run(folder, every_step=False)


def epochs_shown(folder: Path) -> set[float]:
    """The steps at which W&B's files hold an epoch."""
    return {
        row[STEP] for run in read_runs(folder / "runs") for row in run.history if "epoch" in row
    }

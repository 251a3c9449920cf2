"""What a killed run has logged stays, and the resumed run adds to it."""

import random
import signal
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.finished import only_run
from tests.running import HANGS_S, Command, argv, folder_over, start, until
from tests.tracking.logged import SMALL, STEP, assert_shows, logged
from tests.tracking.wandb_offline import read_runs


def killed(asked: list[str], folder: Path, sign: signal.Signals) -> None:
    """Starts a run and kills it during its second epoch; SIGKILL goes to W&B's own process, too."""
    process = start(argv(*asked), folder)
    until(lambda: list(folder.glob("runs/*/*/metrics.csv")), process, "its first epoch ends")
    time.sleep(random.uniform(0.1, 0.5))
    if sign == signal.SIGKILL:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
    process.send_signal(sign)
    process.wait(HANGS_S)
    assert not list(folder.glob("runs/*/*/result.json")), (
        "finished before it was killed: the test says nothing"
    )


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_resumed_run_is_one_run_with_its_full_history(
    sign: signal.Signals, prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "run")
    asked = [*SMALL, "epochs=3", "machine.checkpoint_every_s=0.2", "logger=wandb"]
    killed(asked, folder, sign)
    time.sleep(1)  # the folders are named by the second
    assert meld_lightning(*asked, cwd=folder).returncode == 0
    run = logged(folder)
    assert len(run.folders) == 2
    assert len(list((only_run(folder) / "wandb").glob("offline-run-*"))) == 2
    # SIGKILL loses what was logged in the last second
    assert_shows(run.steps, only_run(folder), every_step=sign != signal.SIGKILL)
    [first] = {row[STEP] for row in run.history if row.get("epoch") == 1}
    assert first == 40


@pytest.mark.slow
def test_what_is_logged_is_on_disk_before_a_kill(prepared: Path, tmp_path: Path) -> None:
    folder = folder_over(prepared, tmp_path / "run")
    asked = [*SMALL, "epochs=30", "logger=wandb"]
    process = start(argv(*asked), folder)
    until(lambda: list(folder.glob("runs/*/*/metrics.csv")), process, "its first epoch ends")
    written = pd.read_csv(next(folder.glob("runs/*/*/metrics.csv")))
    until(lambda: set(written["step"]) <= epochs_shown(folder), process, "an epoch is shown")
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()
    process.wait(HANGS_S)
    run = logged(folder)
    assert run.exit_code is None
    assert set(written["step"]) <= epochs_shown(folder)


def epochs_shown(folder: Path) -> set[float]:
    """The steps at which W&B's files hold an epoch."""
    return {
        row[STEP] for run in read_runs(folder / "runs") for row in run.history if "epoch" in row
    }

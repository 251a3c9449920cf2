"""A sweep whose processes are killed at random ends with an undisturbed sweep's results."""

import csv
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.running import HANGS_S, folder_over
from tests.system.cluster.conftest import SMALL_JOBS, Client
from tests.system.cluster.jobs import (
    OFTEN,
    TEXT,
    finished,
    lose_daemon,
    tasks_of_run,
)
from tests.tracking.wandb_offline import read_runs


def test_a_sweep_under_random_kills_matches_an_uninterrupted_one(
    prepared: Path, tmp_path: Path, client: Callable[..., Client], calm: Callable[..., Path]
) -> None:
    """Kills some of six jobs, one slurmd and the client once checkpoints exist, and repeats the
    command until it succeeds. Its results and what W&B logged equal an undisturbed sweep's."""
    grid = ["seed=1,2,3", "data.batch_size=16,32", "epochs=3"]
    folder = folder_over(prepared, tmp_path / "wild")
    asked = [*TEXT, *SMALL_JOBS, *grid, OFTEN, "hydra.launcher.at_once=3", "logger=wandb"]
    drawn = random.Random(20)
    killed = 0
    for attempt in range(8):
        sweep = client(folder, *asked)
        while sweep.process.poll() is None and killed < 5 and attempt < 4:
            time.sleep(drawn.uniform(1, 4))
            begun = [
                run
                for run in folder.glob("runs/*/*/checkpoints/last.ckpt")
                if not finished(run.parents[1])
            ]
            if not begun:
                continue
            victims = [pid for run in begun for pid in tasks_of_run(run.parents[1])]
            if killed == 1:
                lose_daemon("node2")
            elif killed == 3:
                sweep.kill()
            elif victims:
                os.kill(drawn.choice(victims), signal.SIGKILL)
            else:
                continue
            killed += 1
        status = sweep.process.wait(2 * HANGS_S)
        if status == 0:
            break
    assert killed >= 4
    assert status == 0
    assert len(list(folder.glob("runs/*/*/result.json"))) == 6
    undisturbed = calm(*grid)
    assert results(folder) == results(undisturbed)
    watched = read_runs(folder / "runs")
    assert len({run.id for run in watched}) == len(watched) == 6
    assert len({run.group for run in watched}) == 1
    assert any(len(run.folders) > 1 for run in watched), (
        "no run was resumed: the test shows nothing"
    )
    for run in watched:
        [written] = folder.glob(f"runs/*/{run.config['hash']}/metrics.csv")
        epochs = [row for row in run.history if "val/weighted_f1" in row]
        expected = [float(row["val/weighted_f1"]) for row in csv.DictReader(written.open())]
        assert [row["val/weighted_f1"] for row in epochs] == expected
        assert len(expected) == 3


def results(folder: Path) -> list[list[str]]:
    latest = max(folder.glob("multirun/*/results.csv"), key=lambda path: path.stat().st_mtime_ns)
    rows = list(csv.reader(latest.open()))
    drop = rows[0].index("overrides")  # the launcher's own options stand there
    return [row[:drop] + row[drop + 1 :] for row in rows]

"""Jobs that Slurm pauses (preemption, a time limit, a request for room) end with the same bits."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.finished import assert_same_run
from tests.running import folder_over
from tests.system.cluster.conftest import SMALL_JOBS, Client
from tests.system.cluster.jobs import (
    OFTEN,
    TEXT,
    every,
    job_of,
    log_of,
    restarts,
    runs,
    saved,
    slurm,
)


def test_a_higher_partition_pushes_a_run_out_and_it_ends_the_same(
    prepared: Path, tmp_path: Path, client: Callable[..., Client], calm: Callable[..., Path]
) -> None:
    folder = folder_over(prepared, tmp_path / "preempted")
    sweep = client(folder, *TEXT, *SMALL_JOBS, "seed=1", OFTEN, "hydra.launcher.partition=low")
    sweep.until(lambda: saved(folder, 1))
    job = job_of(runs(folder)["1"])
    slurm(
        "sbatch",
        "--partition=main",
        "--nodes=2",
        "--exclusive",
        "--output=/dev/null",
        "--wrap",
        "sleep 5",
    )
    status, said = sweep.wait()
    assert status == 0, said
    assert restarts(job) == 1
    assert_same_run(runs(folder)["1"], runs(calm("seed=1"))["1"])


# What the log of a run that was asked to make room says. Slurm may ask up to a minute early, before
# the run can answer by itself.
ASKED = re.compile("meld-lightning: preempted|User defined signal 2")


def test_a_time_limit_is_only_a_pause(
    prepared: Path, tmp_path: Path, client: Callable[..., Client], calm: Callable[..., Path]
) -> None:
    """Slurm's shortest limit is a minute; told 30 s before it, a long run needs more than one job.
    No other task of its array is started again with it."""
    folder = folder_over(prepared, tmp_path / "limited")
    limits = ["hydra.launcher.minutes=1", "hydra.launcher.grace_s=30", OFTEN]
    sweep = client(folder, *TEXT, *SMALL_JOBS, *limits, "seed=1", "epochs=1,28")
    status, said = sweep.wait()
    assert status == 0, said
    asked = {run: len(ASKED.findall(log_of(run))) for run in every(folder)}
    assert max(asked.values()) >= 1
    assert {run: restarts(job_of(run)) for run in asked} == asked, (
        "a task was started again that did not ask for it"
    )
    undisturbed = {run.name: run for run in every(calm("seed=1", "epochs=1,28"))}
    for run in every(folder):
        assert_same_run(run, undisturbed[run.name])


MOMENTS = {
    "while it starts": lambda run: (run / "slurm.json").is_file(),
    "while it imports": lambda run: any(run.parents[2].glob("multirun/*/slurm/*_log.out")),
    "while it fits": lambda run: (run / "checkpoints" / "last.ckpt").is_file(),
    "while it writes logits": lambda run: (run / "logits" / "train.parquet").is_file(),
}


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("while it starts", marks=pytest.mark.long),
        "while it imports",
        # as the preempted run above is
        pytest.param("while it fits", marks=pytest.mark.long),
        "while it writes logits",
    ],
)
def test_asked_to_make_room_at_any_moment_it_goes_on(
    moment: str,
    prepared: Path,
    tmp_path: Path,
    client: Callable[..., Client],
    calm: Callable[..., Path],
) -> None:
    folder = folder_over(prepared, tmp_path / "asked")
    sweep = client(folder, *TEXT, *SMALL_JOBS, "seed=1", OFTEN)

    def seen() -> bool:
        return any(MOMENTS[moment](record.parent) for record in folder.glob("runs/*/*/slurm.json"))

    sweep.until(seen)
    [record] = folder.glob("runs/*/*/slurm.json")
    job = job_of(record.parent)
    sweep.until(
        lambda: (
            "RUNNING" in slurm("squeue", "--noheader", "--format=%T", f"--jobs={job}", check=False)
        )
    )
    if moment == "while it imports":
        time.sleep(2)
    slurm("scancel", "--signal=USR2", job)
    status, said = sweep.wait()
    assert status == 0, said
    assert_same_run(runs(folder)["1"], runs(calm("seed=1"))["1"])
    # Slurm itself swallows a signal that comes before the task is there, and a run whose logits are
    # all written ends before it sees one
    assert restarts(job) == 1 or moment in ("while it starts", "while it writes logits")

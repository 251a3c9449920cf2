"""Runs over two nodes: exact after a pause or a lost node, and after running out of memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from meld_lightning import load_run
from tests.finished import assert_same_run
from tests.running import folder_over
from tests.system.cluster.conftest import SMALL_JOBS, Client
from tests.system.cluster.jobs import (
    OFTEN,
    TEXT,
    job_of,
    lose_node,
    restarts,
    runs,
    saved,
    slurm,
    tasks_of,
)


@pytest.mark.parametrize("how", ["signal", "node"])
def test_a_ddp_run_over_two_nodes_goes_on_exactly(
    how: str,
    prepared: Path,
    tmp_path: Path,
    client: Callable[..., Client],
    calm: Callable[..., Path],
) -> None:
    """Dropout is drawn. The calm run is of two processes on one machine: what a node is makes no
    difference."""
    asked = ["numerics.world_size=2", "seed=1"]
    folder = folder_over(prepared, tmp_path / "ddp")
    sweep = client(folder, *TEXT, *SMALL_JOBS, *asked, OFTEN, "hydra.launcher.nodes=2")
    sweep.until(lambda: saved(folder, 1))
    job = job_of(runs(folder)["1"])
    assert slurm("squeue", "--noheader", "--format=%D", f"--jobs={job}").strip() == "2"
    assert len(tasks_of(job)) == 2
    if how == "signal":
        slurm("scancel", "--signal=USR2", job)
    else:
        lose_node("node2", job)
    status, said = sweep.wait()
    assert status == 0, said
    assert restarts(job) == 1
    assert_same_run(runs(folder)["1"], runs(calm(*asked))["1"])


def test_a_rank_that_runs_out_of_memory_has_the_job_queued_again(
    prepared: Path, tmp_path: Path, client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tests/test_memory.py, but no process here could start the other node's rank again."""
    for name, value in {"FITS": "4", "FROM": "10", "ONLY": "1"}.items():
        monkeypatch.setenv(name, value)
    folder = folder_over(prepared, tmp_path / "cramped")
    asked = [
        "model._target_=tests.system.test_memory.Cramped",
        "eval_batch_size=4",
        "epochs=1",
        "numerics.world_size=2",
    ]
    status, said = client(
        folder, *TEXT, *SMALL_JOBS, *asked, OFTEN, "hydra.launcher.nodes=2", "seed=1"
    ).wait()
    assert status == 0, said
    [run] = runs(folder).values()
    assert restarts(job_of(run)) == 1
    assert [one["microbatches"] for one in load_run(run).result.accumulation] == [1, 2]

"""Sweeps on a real Slurm lose nothing: whatever dies, every other result stands, and the same
command does the rest."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.finished import OWN_TABLES, assert_same_run
from tests.running import folder_over
from tests.system.cluster.conftest import SMALL_JOBS, Client
from tests.system.cluster.jobs import (
    OFTEN,
    TEXT,
    job_of,
    runs,
    saved,
    slurm,
    statuses,
    tasks_of,
)


def test_a_sweep_runs_over_both_nodes_and_only_the_dead_run_again(
    prepared: Path, tmp_path: Path, client: Callable[..., Client], calm: Callable[..., Path]
) -> None:
    """One job is killed by a signal, then by its memory limit: the others are not touched."""
    folder = folder_over(prepared, tmp_path / "sweep")
    asked = [*TEXT, *SMALL_JOBS, "seed=1,2,3", "epochs=4", OFTEN]
    first = client(folder, *asked, "hydra.launcher.cpus=4")
    first.until(lambda: saved(folder, 1) and saved(folder, 2))
    jobs = {seed: job_of(run) for seed, run in runs(folder).items()}
    nodes = {
        slurm("squeue", "--noheader", "--format=%N", f"--jobs={jobs[seed]}").strip()
        for seed in ("1", "2")
    }
    assert nodes == {"node1", "node2"}
    [task] = tasks_of(jobs["1"])
    os.kill(task, signal.SIGKILL)
    status, said = first.wait()
    assert status == 1, said
    assert statuses(folder) == ["failed", "finished", "finished"]
    assert "1 of 3 runs failed; run the same command to repeat them" in said
    finished = {
        seed: (run / "result.json").stat().st_mtime_ns
        for seed, run in runs(folder).items()
        if seed != "1"
    }

    hungry = client(folder, *asked, "hydra.launcher.memory_gb=0.3")
    status, said = hungry.wait()
    assert status == 1, said
    assert statuses(folder) == ["failed", "read", "read"]
    assert "out of memory; raise hydra.launcher.memory_gb" in said

    status, said = client(folder, *asked).wait()
    assert status == 0, said
    assert statuses(folder) == ["finished", "read", "read"]
    for seed, written in finished.items():
        assert (runs(folder)[seed] / "result.json").stat().st_mtime_ns == written
    undisturbed = calm("seed=1,2,3", "epochs=4")
    for seed, run in runs(folder).items():
        assert_same_run(run, runs(undisturbed)[seed])


def test_what_slurm_refuses_is_one_line(
    prepared: Path, tmp_path: Path, client: Callable[..., Client]
) -> None:
    folder = folder_over(prepared, tmp_path / "refused")
    for wrong, expected in {
        "hydra.launcher.partition=nowhere": "sbatch refused: invalid partition specified: nowhere",
        "hydra.launcher.setup=['module load nothing']": "module: command not found",
        "hydra.launcher.sbatch=['--array=0-3']": (
            "hydra.launcher.sbatch: --array is set by the launcher itself"
        ),
        "hydra.launcher.minutes=0": "hydra.launcher.minutes=0: expected at least 1",
        "hydra.launcher.nodes=2": (
            "hydra.launcher.nodes=2: cannot distribute numerics.world_size=1 processes evenly"
        ),
    }.items():
        status, said = client(folder, *TEXT, *SMALL_JOBS, "seed=1,2", wrong).wait()
        assert status == 1
        assert expected in said, said
        assert "Traceback" not in said


def test_a_killed_client_finds_its_jobs_again(
    prepared: Path, tmp_path: Path, client: Callable[..., Client]
) -> None:
    folder = folder_over(prepared, tmp_path / "sweep")
    asked = [*TEXT, *SMALL_JOBS, "seed=1,2", "epochs=6", OFTEN]
    first = client(folder, *asked)
    first.until(lambda: saved(folder, 1) and saved(folder, 2))
    first.kill()
    jobs = [job_of(run) for run in runs(folder).values()]
    held = [process for job in jobs for process in tasks_of(job)]
    for process in held:
        os.kill(process, signal.SIGSTOP)  # they must not end before the next client looks for them
    second = client(folder, *asked)
    second.until(lambda: "2 in the queue already" in second.text())
    for process in held:
        os.kill(process, signal.SIGCONT)
    status, said = second.wait()
    assert status == 0, said
    assert statuses(folder) == ["finished", "finished"]
    assert jobs == [job_of(run) for run in runs(folder).values()]
    interrupted = client(folder, *asked, "optimizer.weight_decay=0.1")
    # a job may start, and write its slurm.json, before its client knows that it was submitted
    interrupted.until(lambda: "submitted as Slurm job" in interrupted.text())
    interrupted.process.send_signal(signal.SIGINT)
    status, said = interrupted.wait()
    assert status == 130
    assert "2 jobs keep running in Slurm" in said
    assert len(slurm("squeue", "--noheader", "--array").splitlines()) == 2


def test_a_cancelled_job_is_saved_and_not_queued_again(
    prepared: Path, tmp_path: Path, client: Callable[..., Client], calm: Callable[..., Path]
) -> None:
    folder = folder_over(prepared, tmp_path / "cancelled")
    asked = [*TEXT, *SMALL_JOBS, "seed=1", "machine.checkpoint_every_s=3600"]
    sweep = client(folder, *asked)
    sweep.until(lambda: (folder / "runs").is_dir() and any(folder.glob("runs/*/*/metrics.csv")))
    [record] = folder.glob("runs/*/*/slurm.json")
    slurm("scancel", job_of(record.parent))
    status, said = sweep.wait()
    assert status == 1
    assert "cancelled" in said
    [log] = folder.glob("multirun/*/slurm/*_0_log.out")
    assert "is saved at step" in log.read_text()
    status, said = client(folder, *asked).wait()
    assert status == 0, said
    assert_same_run(runs(folder)["1"], runs(calm("seed=1"))["1"])


def test_reproduce_and_prepare_take_the_cluster_too(
    prepared: Path, tmp_path: Path, client: Callable[..., Client]
) -> None:
    folder = folder_over(prepared, tmp_path / "tables")
    asked = ["checkpoints.clip=null", *SMALL_JOBS]
    status, said = client(folder, "prepare", "--multirun", "shard=0,1", *asked).wait()
    assert status == 0, said
    assert statuses(folder) == ["finished", "finished"]
    status, said = client(folder, "reproduce", *OWN_TABLES, "tables=[table_few]", *asked).wait()
    assert status == 0, said
    assert statuses(folder) == ["finished"] * 2
    assert len(list(folder.glob("runs/*/*/slurm.json"))) == 2
    assert (folder / "experiments" / "mini" / "table_few" / "table.md").is_file()

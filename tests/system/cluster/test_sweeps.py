"""Sweeps on a real Slurm lose nothing: whatever dies, every other result stands, and the same
command does the rest."""

import csv
import functools
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from meld_lightning import load_run
from meld_lightning.tracking.wandb_offline import read_runs
from tests.running import argv, environment, folder_over
from tests.system.cluster.conftest import SMALL_JOBS, Client, job_of, restarts, slurm, statuses
from tests.training.test_training import assert_same_run

TEXT = ["train", "--multirun", "model=roberta", "optimizer.lr=1e-3", "data.batch_size=16"]
OFTEN = "machine.checkpoint_every_s=0.3"


def runs(folder: Path) -> dict[str, Path]:
    """seed -> run folder that holds a config."""
    found = {}
    for config in folder.glob("runs/*/*/config.yaml"):
        for seed in re.findall(r"^seed: (\d+)$", config.read_text(), re.M):
            found[seed] = config.parent
    return found


def saved(folder: Path, seed: int) -> bool:
    return (runs(folder).get(str(seed), folder) / "checkpoints" / "last.ckpt").is_file()


def tasks_of(job: str) -> list[int]:
    """The processes of a Slurm job."""
    wanted = (
        f"SLURM_JOB_ID={slurm('squeue', '--noheader', '--format=%A', f'--jobs={job}').split()[0]}"
    )
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
        and b"-m\0submitit" in _read(entry / "cmdline")
        and _holds(entry, wanted)
        and not _read(entry / "cmdline").startswith(b"srun")
    ]


def _holds(process: Path, variable: str) -> bool:
    return variable.encode() in _read(process / "environ").split(b"\0")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


@pytest.fixture(scope="module")
def calm(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of the same sweep, undisturbed, by the local launcher on this machine."""

    @functools.cache
    def run(*arguments: str) -> Path:
        folder = folder_over(prepared, tmp_path_factory.mktemp("calm"))
        asked = argv(*TEXT, *arguments, "hydra/launcher=local")
        done = subprocess.run(
            asked, cwd=folder, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return folder

    return run


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
    assert "1 of 3 runs failed; the same command runs just these again" in said
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
            "hydra.launcher.nodes=2: numerics.world_size=1 processes cannot be shared out"
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
    second.until(lambda: "2 of them in the queue already" in second.text())
    for process in held:
        os.kill(process, signal.SIGCONT)
    status, said = second.wait()
    assert status == 0, said
    assert statuses(folder) == ["finished", "finished"]
    assert jobs == [job_of(run) for run in runs(folder).values()]
    interrupted = client(folder, *asked, "optimizer.weight_decay=0.1")
    interrupted.until(lambda: len(list(folder.glob("runs/*/*/slurm.json"))) == 4)
    interrupted.process.send_signal(signal.SIGINT)
    status, said = interrupted.wait()
    assert status == 130
    assert "2 jobs go on in Slurm" in said
    assert len(slurm("squeue", "--noheader", "--array").splitlines()) == 2


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


def test_a_time_limit_is_only_a_pause(
    prepared: Path, tmp_path: Path, client: Callable[..., Client], calm: Callable[..., Path]
) -> None:
    """Slurm's shortest limit is a minute; told 30 s before it, a long run needs more than one job.
    No other task of its array is started again with it."""
    folder = folder_over(prepared, tmp_path / "limited")
    limits = ["hydra.launcher.minutes=1", "hydra.launcher.grace_s=30", OFTEN]
    sweep = client(folder, *TEXT, *SMALL_JOBS, *limits, "seed=1", "epochs=1,28")
    status, said = sweep.wait(500)
    assert status == 0, said
    paused = {run: log_of(run).count("made room") for run in every(folder)}
    assert max(paused.values()) >= 1
    assert {run: restarts(job_of(run)) for run in paused} == paused, (
        "a task was started again that did not ask for it"
    )
    undisturbed = {run.name: run for run in every(calm("seed=1", "epochs=1,28"))}
    for run in every(folder):
        assert_same_run(run, undisturbed[run.name])


def log_of(run: Path) -> str:
    return Path(json.loads((run / "slurm.json").read_text())["log"]).read_text()


def every(folder: Path) -> list[Path]:
    return [result.parent for result in folder.glob("runs/*/*/result.json")]


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


MOMENTS = {
    "while it starts": lambda run: (run / "slurm.json").is_file(),
    "while it imports": lambda run: any(run.parents[2].glob("multirun/*/slurm/*_log.out")),
    "while it fits": lambda run: (run / "checkpoints" / "last.ckpt").is_file(),
    "while it writes logits": lambda run: (run / "logits" / "train.parquet").is_file(),
}


@pytest.mark.parametrize("moment", list(MOMENTS))
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
    # a signal that Slurm itself swallows before the task is there leaves nothing to go on from
    assert restarts(job) == 1 or moment == "while it starts"


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
    assert [one["pieces"] for one in load_run(run).result["accumulation"]] == [1, 2]


def lose_node(node: str, job: str) -> None:
    """The node is down for the controller, its processes are gone, and it comes back."""
    for process in tasks_of(job):
        if _holds(Path(f"/proc/{process}"), f"SLURMD_NODENAME={node}"):
            os.kill(
                process, signal.SIGSTOP
            )  # it must not end before the controller gives the node up
            break
    else:
        pytest.fail(f"no process of job {job} on {node}")
    slurm("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")
    time.sleep(3)
    slurm(
        "scontrol", "update", f"NodeName={node}", "State=RESUME", check=False
    )  # it may have come back by itself


def test_reproduce_and_prepare_take_the_cluster_too(
    prepared: Path, tmp_path: Path, client: Callable[..., Client]
) -> None:
    folder = folder_over(prepared, tmp_path / "tables")
    asked = ["checkpoints.clip=null", *SMALL_JOBS]
    status, said = client(folder, "prepare", "--multirun", "shard=0,1", *asked).wait()
    assert status == 0, said
    assert statuses(folder) == ["finished", "finished"]
    status, said = client(folder, "reproduce", "tables=[table_05]", *asked).wait()
    assert status == 0, said
    assert statuses(folder) == ["finished"] * 3
    assert len(list(folder.glob("runs/*/*/slurm.json"))) == 3
    assert (folder / "experiments" / "mini" / "table_05" / "table.md").is_file()


def test_a_sweep_under_random_kills_ends_as_a_calm_one(
    prepared: Path, tmp_path: Path, client: Callable[..., Client], calm: Callable[..., Path]
) -> None:
    """Twelve jobs; jobs, one slurmd and the client are killed between first and last checkpoint;
    the same command goes on until it ends well. The results file is the calm one's, byte for
    byte."""
    grid = ["seed=1,2,3,4", "data.batch_size=16,32,64", "epochs=3"]
    folder = folder_over(prepared, tmp_path / "wild")
    asked = [*TEXT, *SMALL_JOBS, *grid, OFTEN, "hydra.launcher.at_once=3", "logger=wandb"]
    drawn = random.Random(20)
    killed = 0
    for attempt in range(8):
        sweep = client(folder, *asked)
        while sweep.process.poll() is None and killed < 6 and attempt < 4:
            time.sleep(drawn.uniform(1, 4))
            begun = [
                run
                for run in folder.glob("runs/*/*/checkpoints/last.ckpt")
                if not finished(run.parents[1])
            ]
            if not begun:
                continue
            victims = [pid for run in begun for pid in tasks_of_run(run.parents[1])]
            if killed == 2:
                lose_daemon("node2")
            elif killed == 4:
                sweep.kill()
            elif victims:
                os.kill(drawn.choice(victims), signal.SIGKILL)
            else:
                continue
            killed += 1
        status = sweep.process.wait(400)
        if status == 0:
            break
    assert killed >= 5
    assert status == 0
    assert len(list(folder.glob("runs/*/*/result.json"))) == 12
    undisturbed = calm(*grid)
    assert results(folder) == results(undisturbed)
    watched = read_runs(folder / "runs")
    assert len({run.id for run in watched}) == len(watched) == 12
    assert len({run.group for run in watched}) == 1
    assert any(len(run.folders) > 1 for run in watched), "no run went on: the test says nothing"
    for run in watched:
        [written] = folder.glob(f"runs/*/{run.config['hash']}/metrics.csv")
        epochs = [row for row in run.history if "val/weighted_f1" in row]
        expected = [float(row["val/weighted_f1"]) for row in csv.DictReader(written.open())]
        assert [row["val/weighted_f1"] for row in epochs] == expected
        assert len(expected) == 3


def finished(run: Path) -> bool:
    return (run / "result.json").is_file()


def tasks_of_run(run: Path) -> list[int]:
    job = job_of(run)
    return tasks_of(job) if slurm("squeue", "--noheader", f"--jobs={job}", check=False) else []


def lose_daemon(node: str) -> None:
    """A node's slurmd is killed, and started again."""
    daemons = [
        entry
        for entry in Path("/proc").iterdir()
        if _read(entry / "cmdline") == f"slurmd\0-N\0{node}\0".encode()
    ]
    assert daemons
    for entry in daemons:
        os.kill(int(entry.name), signal.SIGKILL)
    time.sleep(2)
    slurm("slurmd", "-N", node)


def results(folder: Path) -> list[list[str]]:
    latest = max(folder.glob("multirun/*/results.csv"), key=lambda path: path.stat().st_mtime_ns)
    rows = list(csv.reader(latest.open()))
    drop = rows[0].index("overrides")  # the launcher's own options stand there
    return [row[:drop] + row[drop + 1 :] for row in rows]

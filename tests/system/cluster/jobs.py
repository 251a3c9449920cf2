"""Slurm's jobs and their runs: what a test asks about them, and how it disturbs them."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

TEXT = ["train", "--multirun", "model=roberta", "optimizer.lr=1e-3", "data.batch_size=16"]


TEXT = ["train", "--multirun", "model=roberta", "optimizer.lr=1e-3", "data.batch_size=16"]
OFTEN = "machine.checkpoint_every_s=0.3"


def slurm(*command: str, check: bool = True) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=check).stdout


def runs(folder: Path) -> dict[str, Path]:
    """seed -> run folder that holds a config."""
    found = {}
    for config in folder.glob("runs/*/*/config.yaml"):
        for seed in re.findall(r"^seed: (\d+)$", config.read_text(), re.M):
            found[seed] = config.parent
    return found


def saved(folder: Path, seed: int) -> bool:
    return (runs(folder).get(str(seed), folder) / "checkpoints" / "last.ckpt").is_file()


def finished(run: Path) -> bool:
    return (run / "result.json").is_file()


def every(folder: Path) -> list[Path]:
    return [result.parent for result in folder.glob("runs/*/*/result.json")]


def log_of(run: Path) -> str:
    return Path(json.loads((run / "slurm.json").read_text())["log"]).read_text()


def statuses(folder: Path) -> list[str]:
    """Of the jobs of the sweep that ended last."""
    latest = max(folder.glob("multirun/*/summary.json"), key=lambda path: path.stat().st_mtime_ns)
    return [row["status"] for row in json.loads(latest.read_text())]


def job_of(run: Path) -> str:
    """The Slurm job that a run folder names."""
    return str(json.loads((run / "slurm.json").read_text())["job"])


def restarts(job: str) -> int:
    shown = slurm("scontrol", "show", "job", job)
    return int(shown.split("Restarts=")[1].split()[0])


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


def tasks_of_run(run: Path) -> list[int]:
    job = job_of(run)
    return tasks_of(job) if slurm("squeue", "--noheader", f"--jobs={job}", check=False) else []


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


def _holds(process: Path, variable: str) -> bool:
    return variable.encode() in _read(process / "environ").split(b"\0")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""

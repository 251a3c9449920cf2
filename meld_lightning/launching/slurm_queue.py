"""Slurm's queue: the state of this user's jobs, and what a job's end means.

Reads squeue and the jobs' logs. Used by `launching.slurm`.
"""

import getpass
import re
import subprocess
import time
from typing import NamedTuple

from meld_lightning.errors import UserError
from meld_lightning.launching.jobs import Job, last_line

POLL_S = (1.0, 10.0)  # seconds between two looks at the queue: at first, and later on
CONTROLLER_SILENT_S = 600  # how long squeue may fail
# reasons for which a job is pending that pass by themselves, and soon
PASSING_REASONS = {"None", "BeginTime", "JobArrayTaskLimit"}
# Slurm's state of a job that has ended -> message; where it is empty, the last line of the log
ENDED = {
    "COMPLETED": "it left no result",
    "FAILED": "",
    "CANCELLED": "cancelled",
    "PREEMPTED": "preempted, and the cluster did not requeue it",
    "TIMEOUT": "reached its time limit before it could save; raise hydra.launcher.grace_s",
    "OUT_OF_MEMORY": "out of memory; raise hydra.launcher.memory_gb",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node failed",
    "DEADLINE": "its deadline passed",
}
FAILED = set(ENDED) - {"COMPLETED"}  # after these no result can still appear
_OUT_OF_MEMORY = re.compile(r"slurmstepd.*(exceeded memory limit|oom.kill)", re.IGNORECASE)
# last lines of a rank whose peer failed first
_LOST_A_PEER = ("Connection closed", "Connection reset", "rank 0 failed", "Killed")


class Entry(NamedTuple):
    """A job in the queue: Slurm's state, and why it is pending."""

    state: str
    reason: str


def queue() -> dict[str, Entry]:
    """Slurm id -> entry, of all jobs of this user that the controller knows; jobs that have ended
    are among them for the cluster's MinJobAge.

    Waits for a controller that does not answer; UserError after CONTROLLER_SILENT_S.
    """
    command = [
        "squeue",
        "--noheader",
        "--array",
        "--states=all",
        f"--user={getpass.getuser()}",
        "--format=%i %T %r",
    ]
    since = time.monotonic()
    while True:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            rows = [line.split(maxsplit=2) for line in done.stdout.splitlines() if line.strip()]
            return {slurm_id: Entry(state, " ".join(reason)) for slurm_id, state, *reason in rows}
        if time.monotonic() - since > CONTROLLER_SILENT_S:
            raise UserError(
                f"squeue has failed for {CONTROLLER_SILENT_S} s ({done.stderr.strip()}); the jobs"
                " keep running: run the same command again to wait for them"
            )
        time.sleep(POLL_S[1])


def failure(state: str, job: Job) -> str:
    """Why a job that ended in this state failed.

    If the job has several processes, one that failed by itself is quoted before one that lost a
    peer.
    """
    assert job.log is not None
    logs = sorted(job.log.parent.glob(job.log.name.replace("_0_log", "_*_log")))
    if any(_OUT_OF_MEMORY.search(log.read_text(errors="replace")) for log in logs):
        state = "OUT_OF_MEMORY"  # where Slurm itself says FAILED or CANCELLED
    lines = sorted(
        filter(None, map(last_line, logs)),
        key=lambda line: any(words in line for words in _LOST_A_PEER),
    )
    return ENDED.get(state, state) or (lines[0] if lines else "failed without a message")

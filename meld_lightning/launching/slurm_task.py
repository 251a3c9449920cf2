"""What runs inside a Slurm job, once for each of its processes. Used by `launching.slurm`, through
submitit.

A process that is asked to make room saves, leaves a mark for the job's script, which queues the job
again, and ends. One that is asked to end (SIGTERM) saves and waits: whether the job was cancelled
or preempted, Slurm knows and decides.
"""

import os
import signal
import sys
import time
from pathlib import Path

from submitit import JobEnvironment

from meld_lightning.launching.exits import STOPPED, TRY_AGAIN, exit_status
from meld_lightning.launching.job import run_job
from meld_lightning.storage.atomic import write_json
from meld_lightning.tracking.console import show_messages
from meld_lightning.training.signals import MAKE_ROOM, stop_request

UNHEARD = 128 + MAKE_ROOM  # srun's status where a process was asked to make room before it listened
# one task of an array has the array's own id as its raw one, by which Slurm would queue the whole
# array again
TASK_OF_ARRAY = "${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}"
MOST_RESTARTS = 100  # a job that never gets anywhere is not queued again for ever
END_S = 600  # how long after SIGTERM Slurm may take
# two jobs on one machine differ in the last four digits of their ids; below the ephemeral ports
FIRST_PORT = 12000


def requeue_mark(folder: str, job: str) -> str:
    """The file that tells the job's script to queue it again. `job`: its raw id, or the script's
    own variable."""
    return f"{folder}/{job}.requeue"


def closing_lines(folder: str) -> list[str]:
    """The end of the job's script, in shell. Runs after srun."""
    mark = requeue_mark('"$here"', '"$SLURM_JOB_ID"')
    return [
        "status=$?",
        f"here={folder}",
        f"job={TASK_OF_ARRAY}",
        f"if [ $status = {UNHEARD} ] || [ -e {mark} ]; then",
        f"  rm -f {mark}",
        (
            f'  [ "${{SLURM_RESTART_COUNT:-0}}" -lt {MOST_RESTARTS} ] && scontrol requeue'
            ' "${job:-$SLURM_JOB_ID}"'
        ),
        "fi",
        "exit $status",
    ]


def run_task(command: str, file: str, folder: str, run: str | None) -> None:
    """One process of a job: `command` with the config in `file`. run: the run folder, where there
    is one."""
    stop_request().take_over()  # before anything is imported
    show_messages()
    job = JobEnvironment()
    if run is not None and job.global_rank == 0:
        keep_record(
            Path(run), job.job_id, job.paths.stdout
        )  # whoever submitted it may have died before
    if job.num_tasks > 1:
        _tell_rank(job)
    status = exit_status(lambda: run_job(command, file))
    sys.stdout.flush()
    if status == TRY_AGAIN:
        Path(requeue_mark(folder, os.environ["SLURM_JOB_ID"])).touch()
    if status == STOPPED:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(END_S)
    if status:
        sys.exit(status)


def keep_record(run: Path, job: str, log: Path) -> None:
    """Notes in the run folder which Slurm job runs it, and where that job's log is."""
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / "slurm.json", {"job": job, "log": str(log)})


def _tell_rank(job: JobEnvironment) -> None:
    """In the variables that torchrun uses."""
    os.environ.update(
        {
            "RANK": str(job.global_rank),
            "LOCAL_RANK": str(job.local_rank),
            "GROUP_RANK": str(job.node),
            "WORLD_SIZE": str(job.num_tasks),
            "LOCAL_WORLD_SIZE": str(job.num_tasks // job.num_nodes),
            "MASTER_ADDR": job.hostnames[0],
            "MASTER_PORT": str(FIRST_PORT + int(job.raw_job_id) % 10000),
        }
    )

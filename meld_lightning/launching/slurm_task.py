"""What each process of a Slurm job runs. Used by `launching.slurm`, through submitit.

A process that is asked to make room (SIGUSR2) saves, leaves a mark for the job's script to requeue
the job, and ends. One that is asked to end (SIGTERM) saves and waits, because only Slurm knows
whether the job was cancelled or preempted.
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

KILLED_BY_SIGNAL = 128 + MAKE_ROOM  # srun's status if a process did not handle the signal yet
# a task's raw id may be that of the whole array, with which Slurm would requeue all of its tasks
TASK_OF_ARRAY = "${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}"
MAX_RESTARTS = 100  # a job that makes no progress is not requeued for ever
END_S = 600  # how long Slurm may take to end the job after SIGTERM
# plus the last four digits of the job's id, which differ between jobs on one machine; all of these
# are below the ephemeral ports
FIRST_PORT = 12000


def requeue_mark(folder: str, job: str) -> str:
    """The file that makes the job's script requeue it. job: its raw id, or the script's variable
    that holds it."""
    return f"{folder}/{job}.requeue"


def closing_lines(folder: str) -> list[str]:
    """The end of the job's script, in shell, which runs after srun."""
    mark = requeue_mark('"$here"', '"$SLURM_JOB_ID"')
    return [
        "status=$?",
        f"here={folder}",
        f"job={TASK_OF_ARRAY}",
        f"if [ $status = {KILLED_BY_SIGNAL} ] || [ -e {mark} ]; then",
        f"  rm -f {mark}",
        (
            f'  [ "${{SLURM_RESTART_COUNT:-0}}" -lt {MAX_RESTARTS} ] && scontrol requeue'
            ' "${job:-$SLURM_JOB_ID}"'
        ),
        "fi",
        "exit $status",
    ]


def run_task(command: str, file: str, folder: str, run: str | None) -> None:
    """Runs one process of a job: `command` with the config in `file`.

    folder: of the job's script and logs. run: the run folder; None for `prepare`.
    """
    stop_request().take_over()  # before the heavy imports
    show_messages()
    job = JobEnvironment()
    if run is not None and job.global_rank == 0:
        # again: the client may have died right after it submitted the job
        keep_record(Path(run), job.job_id, job.paths.stdout)
    if job.num_tasks > 1:
        _set_rank(job)
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
    """Records in the run folder which Slurm job runs it, and where that job's log is."""
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / "slurm.json", {"job": job, "log": str(log)})


def _set_rank(job: JobEnvironment) -> None:
    """Sets the environment variables that torchrun sets."""
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

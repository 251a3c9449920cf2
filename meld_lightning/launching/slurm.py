"""Runs the jobs of a sweep as an array of Slurm jobs: submits them with submitit, or attaches to
those that are queued or running already.

Used by the `slurm` launcher (`--multirun`) and by `reproduce`. A run folder's slurm.json names the
Slurm job that runs it, so that a client that was killed finds its jobs again. A job's outcome is
read from its run folder and from squeue.
"""

import json
import logging
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meld_lightning.config.words import counted
from meld_lightning.errors import Stopped, UserError
from meld_lightning.launching.jobs import Job
from meld_lightning.launching.resources import Resources, check_resources, sbatch_options
from meld_lightning.launching.slurm_queue import (
    ENDED,
    FAILED,
    PASSING_REASONS,
    POLL_S,
    Entry,
    failure,
    queue,
)
from meld_lightning.launching.slurm_task import closing_lines, keep_record, run_task
from meld_lightning.launching.sweep import Sweep
from meld_lightning.storage.once import locked

logger = logging.getLogger(__name__)

EXPLAIN_AFTER_S = 10  # after which the reasons of pending jobs are logged
# how long a finished job's files may take to appear on another machine: NFS's default is a minute
FILES_APPEAR_S = 90


def run_on_slurm(jobs: Sequence[Job], resources: Resources, logs: Path) -> None:
    """Submits the jobs that are neither finished nor queued, waits for all, and sets each job's
    status and reason.

    If this process is stopped or killed, the jobs stay with Slurm: the same command attaches to
    them.
    """
    if shutil.which("sbatch") is None:
        raise UserError(
            "hydra/launcher=slurm: no sbatch on this machine; run it on the cluster's login node"
        )
    for job in jobs:
        check_resources(resources, job.config.numerics.world_size)
    with Sweep(jobs, logs) as sweep:
        queued: dict[str, Job] = {}
        try:
            if sweep.pending:
                # if two clients ask for the same sweep, the second one attaches
                with locked(_lock(sweep.pending)):
                    _attach_and_submit(queued, resources, sweep)
            else:
                sweep.announce("")
            _wait(queued, sweep)
        except KeyboardInterrupt:
            raise Stopped(_left_in_slurm(queued)) from None


def _left_in_slurm(queued: Mapping[str, Job]) -> str:
    """What a client that is stopped leaves behind."""
    if not queued:
        return "no job is known to have been submitted"
    ids = " ".join(sorted({slurm_id.partition("_")[0] for slurm_id in queued}))
    verb = "keeps" if len(queued) == 1 else "keep"
    return f"{counted(len(queued), 'job')} {verb} running in Slurm (to cancel: scancel {ids})"


def _lock(jobs: Sequence[Job]) -> Path:
    runs = Path(jobs[0].config.paths.runs)
    runs.mkdir(parents=True, exist_ok=True)
    return runs / ".submitting.lock"


def _attach_and_submit(queued: dict[str, Job], resources: Resources, sweep: Sweep) -> None:
    """Fills in `queued`: Slurm id -> job."""
    queued |= _attach(sweep)
    fresh = [job for job in sweep.pending if job not in queued.values()]
    sweep.announce(f"{len(queued)} in the queue already, {resources.at_once} at a time")
    for world_size in sorted({job.config.numerics.world_size for job in fresh}):
        of_size = [job for job in fresh if job.config.numerics.world_size == world_size]
        _submit(of_size, world_size, resources, sweep, queued)


def _attach(sweep: Sweep) -> dict[str, Job]:
    """Slurm id -> job, of those that are queued or running already."""
    now, found = queue(), {}
    for job in sweep.pending:
        record = job.identity.folder / "slurm.json" if job.identity else None
        if record is not None and record.is_file():
            known = json.loads(record.read_text())
            entry = now.get(known["job"])
            if entry is not None and entry.state not in ENDED:
                sweep.begin(job, Path(known["log"]))
                found[known["job"]] = job
    return found


def _submit(
    jobs: Sequence[Job],
    world_size: int,
    resources: Resources,
    sweep: Sweep,
    queued: dict[str, Job],
) -> None:
    """Submits one array and adds Slurm id -> job to `queued`; UserError if Slurm refuses it."""
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    folder = (sweep.logs / "slurm").absolute()
    executor = SlurmExecutor(folder)
    executor.update_parameters(**_parameters(resources, world_size, folder))
    for job in jobs:
        job.set_result_aside()
    configs = [str(sweep.begin(job, folder).absolute()) for job in jobs]
    try:
        runs = [str(job.identity.folder.absolute()) if job.identity else None for job in jobs]
        commands = [job.command for job in jobs]
        submitted = executor.map_array(run_task, commands, configs, [str(folder)] * len(jobs), runs)
    except (FailedJobError, FailedSubmissionError) as error:
        refusal = f"sbatch refused: {_refusal(error)}"
        for job in jobs:
            job.status, job.reason = "failed", refusal
        raise UserError(f"hydra/launcher=slurm: {refusal}") from error
    # before the records are written: an interrupted client counts these jobs
    queued |= {handle.job_id: job for job, handle in zip(jobs, submitted, strict=True)}
    for job, handle in zip(jobs, submitted, strict=True):
        job.log = Path(handle.paths.stdout)
        if job.identity:
            keep_record(job.identity.folder, handle.job_id, job.log)
    slurm_id = submitted[0].job_id.partition("_")[0]
    logger.info("submitted as Slurm job %s; logs: %s", slurm_id, folder)


def _refusal(error: Exception) -> str:
    """What sbatch says, out of submitit's several lines."""
    lines = str(error).splitlines()
    reasons = [line.partition("error:")[2].strip() for line in lines if "error:" in line]
    return reasons[0] if reasons else lines[0]


def _parameters(resources: Resources, world_size: int, folder: Path) -> dict[str, Any]:
    """The parameters of submitit's executor."""
    per_node = world_size // resources.nodes
    parameters = {
        "job_name": "meld-lightning",
        "time": resources.minutes,
        "nodes": resources.nodes,
        "ntasks_per_node": per_node,
        "cpus_per_task": resources.cpus,
        "mem": f"{round(resources.memory_gb * per_node * 1024)}M",
        "gpus_per_node": resources.gpus * per_node or None,
        "partition": resources.partition,
        "account": resources.account,
        "signal_delay_s": resources.grace_s,
        "array_parallelism": resources.at_once,
        "setup": ["set -e", *resources.setup, "set +e"],
        "teardown": closing_lines(shlex.quote(str(folder))),
        "srun_args": _srun_options(resources),
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True, **sbatch_options(resources.sbatch)},
    }
    return {name: value for name, value in parameters.items() if value is not None}


def _srun_options(resources: Resources) -> list[str]:
    """srun does not take over the number of cores from sbatch. `--wait` ends a process whose peers
    have ended, in time for the job to be requeued."""
    return [
        "--open-mode=append",
        f"--cpus-per-task={resources.cpus}",
        f"--wait={max(10, resources.grace_s // 4)}",
    ]


def _wait(queued: dict[str, Job], sweep: Sweep) -> None:
    """Waits until every job has ended; takes each out of `queued` as it does."""
    # Slurm id -> when the job was first seen to have ended without a result
    ended: dict[str, float] = {}
    explained: set[str] = set()
    began = time.monotonic()
    pause, longest = POLL_S
    while queued:
        time.sleep(pause)
        pause = min(pause * 1.1, longest)
        now = queue()
        entries = [now[slurm_id] for slurm_id in queued if slurm_id in now]
        pending = [entry.reason for entry in entries if entry.state == "PENDING"]
        sweep.bar.set_postfix_str(f"{len(queued) - len(pending)} running, {len(pending)} pending")
        if time.monotonic() - began > EXPLAIN_AFTER_S:
            _explain(pending, explained)
        for slurm_id, job in list(queued.items()):
            if _end_if_over(slurm_id, job, now, ended, sweep):
                del queued[slurm_id]


def _explain(pending: Sequence[str], explained: set[str]) -> None:
    """Logs each reason for which jobs are pending once."""
    for reason in sorted(set(pending) - explained - PASSING_REASONS):
        explained.add(reason)
        logger.info("pending: %s (%s)", counted(pending.count(reason), "job"), reason)


def _end_if_over(
    slurm_id: str, job: Job, now: Mapping[str, Entry], ended: dict[str, float], sweep: Sweep
) -> bool:
    """Ends the job in the sweep if it has its result, or will not get one; returns whether."""
    state = now[slurm_id].state if slurm_id in now else "gone from the queue"
    over = state in ENDED or slurm_id not in now
    if not over:  # requeued, perhaps
        ended.pop(slurm_id, None)
    done = job.run is not None if job.identity else state == "COMPLETED"
    if not done:
        if not over:
            return False
        waited_s = time.monotonic() - ended.setdefault(slurm_id, time.monotonic())
        if state not in FAILED and waited_s <= FILES_APPEAR_S:
            return False
    sweep.end(job, "" if done else failure(state, job))
    return True

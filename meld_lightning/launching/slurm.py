"""The jobs of a sweep as an array of Slurm jobs, by submitit: submitted, or attached to where they
run already.

Used by the `slurm` launcher (`--multirun`) and by `reproduce`. A run folder's slurm.json tells
which job runs it, so that a client which was killed finds its jobs again. What became of a job is
read from its run folder and from squeue.
"""

import getpass
import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from meld_lightning.errors import Stopped, UserError
from meld_lightning.launching.jobs import Job, Sweep, last_words
from meld_lightning.launching.resources import LEAST, Resources
from meld_lightning.launching.slurm_task import closing_lines, keep_record, run_task
from meld_lightning.storage.once import locked

POLL_S = (1.0, 10.0)  # between two looks at the queue: at first, and later on
TELL_S = 10  # after which it is told why jobs wait
ORDINARY = {"None", "BeginTime", "JobArrayTaskLimit"}  # reasons that pass by themselves, and soon
# how long a finished job's files may take to be seen on another machine: NFS's default is a minute
VISIBLE_S = 90
PATIENCE_S = 600  # how long the cluster's controller may stay silent
MEMORY_WORDS = re.compile(r"slurmstepd.*(exceeded memory limit|oom.kill)", re.IGNORECASE)
OURS = (
    "--array",
    "--output",
    "--error",
    "--signal",
    "--open-mode",
    "--ntasks",
    "--ntasks-per-node",
    "--wrap",
)
LOST_A_PEER = ("Connection closed", "Connection reset", "rank 0 failed", "Killed")
ENDED = {  # Slurm's state -> what is told; where nothing stands here, the job's own last words
    "COMPLETED": "it left no result",
    "FAILED": "",
    "CANCELLED": "cancelled",
    "PREEMPTED": "preempted, and not queued again by the cluster",
    "TIMEOUT": "ended at its time limit before it could save; raise hydra.launcher.grace_s",
    "OUT_OF_MEMORY": "out of memory; raise hydra.launcher.memory_gb",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node failed",
    "DEADLINE": "its deadline passed",
}


FAILURES = set(ENDED) - {"COMPLETED"}  # which leave no result that might not be seen yet


def run_on_slurm(jobs: Sequence[Job], resources: Resources, logs: Path) -> None:
    """Submits what is neither finished nor running, waits for all, and fills in each job's status
    and reason.

    Ctrl-C, and the death of this process, leave the jobs to Slurm: the same command attaches to
    them.
    """
    if shutil.which("sbatch") is None:
        raise UserError(
            "hydra/launcher=slurm: no sbatch on this machine; call it on the cluster's login node"
        )
    for job in jobs:
        _check(resources, job.config.numerics.world_size)
    with Sweep(jobs, logs) as sweep:
        queued: dict[str, Job] = {}
        try:
            if sweep.to_do:
                with locked(
                    _lock(sweep.to_do)
                ):  # of two clients asking for one sweep, the second attaches
                    _attach_and_submit(queued, resources, sweep)
            else:
                sweep.announce("nothing to submit")
            _wait(queued, sweep)
        except KeyboardInterrupt:
            ids = " ".join(sorted({one.partition("_")[0] for one in queued}))
            raise Stopped(f"{len(queued)} jobs go on in Slurm (scancel {ids} ends them)") from None


def _attach_and_submit(queued: dict[str, Job], resources: Resources, sweep: Sweep) -> None:
    """Fills in `queued`: Slurm id -> job."""
    queued |= _attach(sweep)
    fresh = [job for job in sweep.to_do if job not in queued.values()]
    sweep.announce(f"{len(queued)} of them in the queue already, {resources.at_once} at once")
    for world_size in sorted({job.config.numerics.world_size for job in fresh}):
        queued |= _submit(
            [job for job in fresh if job.config.numerics.world_size == world_size],
            world_size,
            resources,
            sweep,
        )


def _check(resources: Resources, world_size: int) -> None:
    """UserError for what cannot be asked of Slurm."""
    _options(resources.sbatch)
    for name, least in LEAST.items():
        if getattr(resources, name) < least:
            raise UserError(
                f"hydra.launcher.{name}={getattr(resources, name)}: expected at least {least}"
            )
    if resources.grace_s >= 60 * resources.minutes:
        raise UserError(
            f"hydra.launcher.grace_s={resources.grace_s}: expected less than the"
            f" {resources.minutes} minutes of a job"
        )
    if world_size % resources.nodes:
        raise UserError(
            f"hydra.launcher.nodes={resources.nodes}: numerics.world_size={world_size} processes"
            " cannot be shared out evenly over them"
        )


def _lock(jobs: Sequence[Job]) -> Path:
    runs = Path(jobs[0].config.paths.runs)
    runs.mkdir(parents=True, exist_ok=True)
    return runs / ".submitting.lock"


def _attach(sweep: Sweep) -> dict[str, Job]:
    """Slurm id -> job, for those that wait or run already."""
    now, found = queue(), {}
    for job in sweep.to_do:
        record = job.identity.folder / "slurm.json" if job.identity else None
        if record is not None and record.is_file():
            known = json.loads(record.read_text())
            place = now.get(known["job"])
            if place is not None and place.state not in ENDED:
                sweep.begin(job, Path(known["log"]))
                found[known["job"]] = job
    return found


def _submit(
    jobs: Sequence[Job], world_size: int, resources: Resources, sweep: Sweep
) -> dict[str, Job]:
    """One array of the jobs; UserError if Slurm refuses it."""
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    folder = (sweep.logs / "slurm").absolute()
    executor = SlurmExecutor(folder)
    executor.update_parameters(**_parameters(resources, world_size, folder))
    configs = [str(sweep.begin(job, folder).absolute()) for job in jobs]
    try:
        runs = [str(job.identity.folder.absolute()) if job.identity else None for job in jobs]
        commands = [job.command for job in jobs]
        submitted = executor.map_array(run_task, commands, configs, [str(folder)] * len(jobs), runs)
    except (FailedJobError, FailedSubmissionError) as error:
        said = [
            line.partition("error:")[2].strip()
            for line in str(error).splitlines()
            if "error:" in line
        ]
        raise UserError(
            "hydra/launcher=slurm: sbatch refused:"
            f" {said[0] if said else str(error).splitlines()[0]}"
        ) from error
    for job, handle in zip(jobs, submitted, strict=True):
        job.log = Path(handle.paths.stdout)
        if job.identity:
            keep_record(job.identity.folder, handle.job_id, job.log)
    sweep.say(f"submitted as Slurm job {submitted[0].job_id.partition('_')[0]}")
    return {handle.job_id: job for job, handle in zip(jobs, submitted, strict=True)}


def _parameters(resources: Resources, world_size: int, folder: Path) -> dict:
    """What submitit's executor is told."""
    here = world_size // resources.nodes
    parameters = {
        "job_name": "meld-lightning",
        "time": resources.minutes,
        "nodes": resources.nodes,
        "ntasks_per_node": here,
        "cpus_per_task": resources.cpus,
        "mem": f"{round(resources.memory_gb * here * 1024)}M",
        "gpus_per_node": resources.gpus * here or None,
        "partition": resources.partition,
        "account": resources.account,
        "signal_delay_s": resources.grace_s,
        "array_parallelism": resources.at_once,
        "setup": ["set -e", *resources.setup, "set +e"],
        "teardown": closing_lines(shlex.quote(str(folder))),
        "srun_args": _srun(resources),
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True, **_options(resources.sbatch)},
    }
    return {name: value for name, value in parameters.items() if value is not None}


def _srun(resources: Resources) -> list[str]:
    """Options of srun: it does not take the number of cores over from sbatch, and ends a process
    that the others have left alone, in time for the job to be queued again."""
    return [
        "--open-mode=append",
        f"--cpus-per-task={resources.cpus}",
        f"--wait={max(10, resources.grace_s // 4)}",
    ]


def _options(sbatch: Sequence[str]) -> dict[str, str | bool]:
    """['--qos=long', '--exclusive'] as submitit wants them."""
    found: dict[str, str | bool] = {}
    for option in sbatch:
        name, equals, value = option.partition("=")
        if not name.startswith("--"):
            raise UserError(
                f"hydra.launcher.sbatch: {option!r} is no option of sbatch; expected '--name=value'"
            )
        if name in OURS:
            raise UserError(
                f"hydra.launcher.sbatch: {name} is set by the launcher itself; leave it out"
            )
        found[name.removeprefix("--").replace("-", "_")] = value if equals else True
    return found


def _wait(queued: dict[str, Job], sweep: Sweep) -> None:
    """Until every job has ended; takes each out of `queued` as it does."""
    ended: dict[str, float] = {}  # Slurm id -> since when it is seen to have ended without a result
    told: set[str] = set()  # why jobs wait
    began = time.monotonic()
    pause, longest = POLL_S
    while queued:
        time.sleep(pause)
        pause = min(pause * 1.1, longest)
        now = queue()
        waiting = [now[one].reason for one in queued if one in now and now[one].state == "PENDING"]
        sweep.bar.set_postfix_str(
            f"{len(queued) - len(waiting)} running, {len(waiting)} in the queue"
        )
        for why in (
            sorted(set(waiting) - told - ORDINARY) if time.monotonic() - began > TELL_S else ()
        ):
            told.add(why)
            sweep.say(f"{waiting.count(why)} jobs wait in the queue: {why}")
        for one, job in list(queued.items()):
            state = now[one].state if one in now else "gone from the queue"
            over = state in ENDED or one not in now
            since = (
                ended.setdefault(one, time.monotonic())
                if over
                else ended.pop(one, time.monotonic())
            )
            well = job.run is not None if job.identity else state == "COMPLETED"
            if well or (over and (state in FAILURES or time.monotonic() - since > VISIBLE_S)):
                sweep.settle(job, "" if well else _reason(state, job))
                del queued[one]


def _reason(state: str, job: Job) -> str:
    """Of the processes of a job, the one that says what was wrong is heard, before those that only
    lost it."""
    assert job.log is not None
    logs = sorted(job.log.parent.glob(job.log.name.replace("_0_log", "_*_log")))
    if any(MEMORY_WORDS.search(log.read_text(errors="replace")) for log in logs):
        state = "OUT_OF_MEMORY"  # where Slurm itself calls it FAILED or CANCELLED
    words = sorted(
        filter(None, map(last_words, logs)),
        key=lambda said: any(one in said for one in LOST_A_PEER),
    )
    return ENDED.get(state, state) or (words[0] if words else "failed without a word")


class Place(NamedTuple):
    """Where a job is in the queue: Slurm's state, and why it waits."""

    state: str
    reason: str


def queue() -> dict[str, Place]:
    """Slurm id -> place, of all jobs of this user that the controller still knows: for MinJobAge
    those that ended, too.

    Waits for a silent controller.
    """
    ask = [
        "squeue",
        "--noheader",
        "--array",
        "--states=all",
        f"--user={getpass.getuser()}",
        "--format=%i %T %r",
    ]
    since = time.monotonic()
    while True:
        done = subprocess.run(ask, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            rows = [line.split(maxsplit=2) for line in done.stdout.splitlines() if line.strip()]
            return {slurm_id: Place(state, " ".join(why)) for slurm_id, state, *why in rows}
        if time.monotonic() - since > PATIENCE_S:
            raise UserError(
                f"squeue has failed for {PATIENCE_S} s ({done.stderr.strip()}); the jobs go on"
                " without it"
            )
        time.sleep(POLL_S[1])

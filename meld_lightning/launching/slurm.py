"""The jobs of a sweep as an array of Slurm jobs, by submitit: submitted, or attached to where they run already.

Used by the `slurm` launcher (`--multirun`) and by `reproduce`. A run folder's slurm.json tells which job runs it, so
that a client which was killed finds its jobs again. What became of a job is read from its run folder and from squeue.
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

from filelock import FileLock

from meld_lightning.errors import Stopped, UserError
from meld_lightning.launching.jobs import Job, Sweep, last_words
from meld_lightning.launching.resources import LEAST, Resources
from meld_lightning.launching.slurm_task import closing_lines, run_task
from meld_lightning.runs import write_json

POLL_S = (1.0, 10.0)  # between two looks at the queue: at first, and later on
VISIBLE_S = 20  # how long a finished job's files may take to be seen on another machine
PATIENCE_S = 600  # how long the cluster's controller may stay silent
SRUN = ["--open-mode=append", "--wait=300"]  # a process that is left alone for five minutes is ended
MEMORY_WORDS = re.compile(r"slurmstepd.*(exceeded memory limit|oom.kill)", re.IGNORECASE)
ENDED = {
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


def run_on_slurm(jobs: Sequence[Job], resources: Resources, logs: Path) -> None:
    """Submits what is neither finished nor running, waits for all, and fills in each job's status and reason.

    Ctrl-C, and the death of this process, leave the jobs to Slurm: the same command attaches to them.
    """
    if shutil.which("sbatch") is None:
        raise UserError("hydra/launcher=slurm: no sbatch on this machine; call it on the cluster's login node")
    with Sweep(jobs, logs) as sweep:
        queued: dict[str, Job] = {}
        if sweep.to_do:
            with FileLock(_lock(sweep.to_do)):  # of two clients asking for one sweep, the second attaches
                queued = _attach(sweep)
                fresh = [job for job in sweep.to_do if job not in queued.values()]
                sweep.announce(f"{len(queued)} of them in the queue already, {resources.at_once} at once")
                for world_size in sorted({job.config.numerics.world_size for job in fresh}):
                    group = [job for job in fresh if job.config.numerics.world_size == world_size]
                    queued |= _submit(group, world_size, resources, sweep)
        else:
            sweep.announce("nothing to submit")
        try:
            _wait(queued, sweep)
        except KeyboardInterrupt:
            ids = " ".join(sorted({one.partition("_")[0] for one in queued}))
            raise Stopped(f"{len(queued)} jobs go on in Slurm (scancel {ids} ends them)") from None


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
            if now.get(known["job"], "COMPLETED") not in ENDED:
                sweep.begin(job, Path(known["log"]))
                found[known["job"]] = job
    return found


def _submit(jobs: Sequence[Job], world_size: int, resources: Resources, sweep: Sweep) -> dict[str, Job]:
    """One array of the jobs; UserError if Slurm refuses it."""
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    folder = (sweep.logs / "slurm").absolute()
    executor = SlurmExecutor(folder)
    executor.update_parameters(**_parameters(resources, world_size, folder))
    configs = [str(sweep.begin(job, folder).absolute()) for job in jobs]
    try:
        submitted = executor.map_array(run_task, [job.command for job in jobs], configs, [str(folder)] * len(jobs))
    except (FailedJobError, FailedSubmissionError) as error:
        said = [line.partition("error:")[2].strip() for line in str(error).splitlines() if "error:" in line]
        raise UserError(f"hydra/launcher=slurm: sbatch refused: {said[0] if said else error}") from error
    for job, handle in zip(jobs, submitted, strict=True):
        job.log = Path(handle.paths.stdout)
        if job.identity:
            job.identity.folder.mkdir(parents=True, exist_ok=True)
            write_json(job.identity.folder / "slurm.json", {"job": handle.job_id, "log": str(job.log)})
    return {handle.job_id: job for job, handle in zip(jobs, submitted, strict=True)}


def _parameters(resources: Resources, world_size: int, folder: Path) -> dict:
    """What submitit's executor is told."""
    for name, least in LEAST.items():
        if getattr(resources, name) < least:
            raise UserError(f"hydra.launcher.{name}={getattr(resources, name)}: expected at least {least}")
    here, over = divmod(world_size, resources.nodes)
    if over or not here:
        raise UserError(
            f"hydra.launcher.nodes={resources.nodes}: numerics.world_size={world_size} processes cannot be shared out "
            "evenly over them"
        )
    parameters = {
        "job_name": "meld-lightning", "time": resources.minutes, "nodes": resources.nodes, "ntasks_per_node": here,
        "cpus_per_task": resources.cpus, "mem": f"{round(resources.memory_gb * here * 1024)}M",
        "gpus_per_node": resources.gpus * here or None, "partition": resources.partition, "account": resources.account,
        "signal_delay_s": resources.grace_s, "array_parallelism": resources.at_once, "setup": list(resources.setup),
        "teardown": closing_lines(shlex.quote(str(folder))), "srun_args": SRUN, "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True, **_options(resources.sbatch)},
    }  # fmt: skip
    return {name: value for name, value in parameters.items() if value is not None}


def _options(sbatch: Sequence[str]) -> dict[str, str | bool]:
    """['--qos=long', '--exclusive'] as submitit wants them."""
    found: dict[str, str | bool] = {}
    for option in sbatch:
        name, equals, value = option.partition("=")
        if not name.startswith("--"):
            raise UserError(f"hydra.launcher.sbatch: {option!r} is no option of sbatch; expected '--name=value'")
        found[name.removeprefix("--")] = value if equals else True
    return found


def _wait(queued: dict[str, Job], sweep: Sweep) -> None:
    """Until every job has ended; takes each out of `queued` as it does."""
    ended: dict[str, float] = {}  # Slurm id -> since when it is seen to have ended without a result
    pause, longest = POLL_S
    while queued:
        time.sleep(pause)
        pause = min(pause * 1.1, longest)
        now = queue()
        waiting = sum(now.get(one) == "PENDING" for one in queued)
        sweep.bar.set_postfix_str(f"{len(queued) - waiting} running, {waiting} in the queue")
        for one, job in list(queued.items()):
            state = now.get(one, "gone from the queue")
            over = state in ENDED or one not in now
            since = ended.setdefault(one, time.monotonic()) if over else ended.pop(one, time.monotonic())
            well = job.run is not None if job.identity else state == "COMPLETED"
            if well or (over and (state == "FAILED" or time.monotonic() - since > VISIBLE_S)):
                sweep.settle(job, "" if well else _reason(state, job))
                del queued[one]


def _reason(state: str, job: Job) -> str:
    assert job.log is not None
    if job.log.is_file() and MEMORY_WORDS.search(job.log.read_text(errors="replace")):
        state = "OUT_OF_MEMORY"  # where Slurm itself calls it FAILED or CANCELLED
    return ENDED.get(state, state) or last_words(job.log) or "failed without a word"


def queue() -> dict[str, str]:
    """Slurm id -> state, of all jobs of this user that the controller still knows; waits for a silent controller."""
    ask = ["squeue", "--noheader", "--array", "--states=all", f"--user={getpass.getuser()}", "--format=%i %T"]
    since = time.monotonic()
    while True:
        done = subprocess.run(ask, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return dict(line.split() for line in done.stdout.splitlines() if line.strip())
        if time.monotonic() - since > PATIENCE_S:
            raise UserError(f"squeue has failed for {PATIENCE_S} s ({done.stderr.strip()}); the jobs go on without it")
        time.sleep(POLL_S[1])

"""Runs many trainings on one machine: a process each, a bounded number at once, the failure of one kept to itself.

Used by the `local` launcher (`train --multirun`) and by `reproduce`. Reads run folders, writes a log per job and
summary.json.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from meld_lightning.config import Train, check
from meld_lightning.errors import Stopped, UserError
from meld_lightning.runs import Identity, Run, find_run, identify, write_json

MOST_AT_ONCE = 4  # a training holds 1 to 3 GB; more of them would fill a laptop's memory
GRACE_S = 60  # how long a stopped job may take to save its checkpoint


@dataclass
class Job:
    """One training: what was asked, and what became of it."""

    overrides: list[str]
    config: DictConfig
    identity: Identity
    status: str = "waiting"  # then running, and finished, read, failed or stopped
    reason: str = ""
    wall_s: float = 0.0
    place: dict[str, str] = field(default_factory=dict)  # environment that gives it its own devices

    @property
    def run(self) -> Run | None:
        return find_run(self.identity)


def job_of(cfg: DictConfig, overrides: Sequence[str]) -> Job:
    """A job from its composed config; raises UserError before anything starts if the config is wrong."""
    job = Job(list(overrides), cfg, identify(cfg))
    if job.run is None:  # checking imports what the config names: seconds that a finished run need not cost
        check(cfg, Train)
    return job


def room(jobs: Sequence[Job]) -> int:
    """How many of the jobs this machine takes side by side: one for each of its GPUs, else for each core, but no more
    than MOST_AT_ONCE; fewer where a job is several processes."""
    each = max((job.config.numerics.world_size for job in jobs), default=1)
    return max(1, (_gpus() or min(os.cpu_count() or 1, MOST_AT_ONCE)) // each)


def run_jobs(jobs: Sequence[Job], at_once: int, logs: Path) -> None:
    """Runs what is not finished yet, `at_once` processes side by side; fills in each job's status and reason.

    A job is a process that trains from its config, written to `logs`. Two jobs with one hash are run once. Ctrl-C asks
    the running jobs to save, waits for them, and raises Stopped.
    """
    if at_once < 1:
        raise UserError(f"jobs={at_once}: expected at least 1")
    twins: dict[str, Job] = {}
    for job in jobs:
        if job.run is not None:
            job.status = "read"
        else:
            twins.setdefault(job.identity.hash, job)
    waiting = list(twins.values())
    _say(f"{len(jobs)} runs: {len(jobs) - len(waiting)} finished before, {len(waiting)} to do, {at_once} at once")
    logs.mkdir(parents=True, exist_ok=True)
    total, done = len(waiting), 0
    bar = tqdm(total=total, unit="run", disable=None, mininterval=1)  # None: only on a terminal
    running: dict[subprocess.Popen, Job] = {}
    places = _places(at_once, jobs) if waiting else []
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the jobs are asked to save
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                job.place = places.pop()
                running[_start(job, _log(logs, job))] = job
            time.sleep(0.1)
            bar.set_postfix_str(f"{len(running)} running")
            for process in [process for process in running if process.poll() is not None]:
                job = running.pop(process)
                places.append(job.place)
                done += 1
                _settle(job, process.returncode, _log(logs, job))
                bar.update()
                _say(f"[{done}/{total}] {_describe(job)}")
    except BaseException as error:
        _stop(running)  # whatever went wrong here, no training is left running unseen
        if not isinstance(error, KeyboardInterrupt):
            raise
        left = len(waiting) + sum(job.run is None for job in running.values())
        raise Stopped(f"{left} of {len(jobs)} runs are left, those begun are saved") from None
    finally:
        bar.close()
        signal.signal(signal.SIGTERM, before)
        for job in jobs:
            twin = twins.get(job.identity.hash, job)
            job.status, job.reason = twin.status, twin.reason
        write_json(logs / "summary.json", [_row(job) for job in jobs])


def report_failures(jobs: Sequence[Job], logs: Path) -> None:
    """Raises UserError with a line per failed job and what to do, or returns."""
    failed = [job for job in jobs if job.status == "failed"]
    if failed:
        lines = [f"  {' '.join(job.overrides)}: {job.reason} (log: {_log(logs, job)})" for job in failed]
        raise UserError(
            "\n".join([f"{len(failed)} of {len(jobs)} runs failed; the same command runs just these again:", *lines])
        )


def _places(at_once: int, jobs: Sequence[Job]) -> list[dict[str, str]]:
    """What each of the jobs that run side by side is told of the GPUs: its own, in turn where there are too few."""
    gpus = _gpus()
    if gpus < 2 or at_once < 2:
        return [{} for _ in range(at_once)]
    visible = (os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))).split(",")
    each = min(gpus, max(job.config.numerics.world_size for job in jobs))
    starts = [index * each % (gpus - each + 1) for index in range(at_once)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(visible[start : start + each])} for start in starts]


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _start(job: Job, log: Path) -> subprocess.Popen:
    job.status, job.wall_s = "running", -time.monotonic()
    OmegaConf.save(job.config, log.with_suffix(".yaml"), resolve=True)
    with log.open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "meld_lightning.commands.train", str(log.with_suffix(".yaml"))],
            env={**os.environ, **job.place}, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches it through `_stop` alone, once
        )  # fmt: skip


def _settle(job: Job, code: int, log: Path) -> None:
    job.wall_s += time.monotonic()
    if job.run is not None:
        job.status = "finished"
        return
    job.status = "failed"
    if code < 0:
        job.reason = f"killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            job.reason += " (out of memory?)"
        return
    said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    job.reason = said[-1].removeprefix("meld-lightning: ").strip() if said else f"exit status {code}"


def _stop(running: dict[subprocess.Popen, Job]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # asked once more, they are still given their time to save
    for process in running:
        process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + GRACE_S
    for process, job in running.items():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        job.status = "stopped"
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _describe(job: Job) -> str:
    name = " ".join(job.overrides)
    run = job.run
    if run is None:
        return f"FAILED {name}: {job.reason}"
    return f"{name}: {run.result['best']['monitor']} {run.result['best']['value']:.4f} ({job.wall_s:.0f} s)"


def _row(job: Job) -> dict:
    return {
        "overrides": job.overrides, "run": job.identity.hash, "folder": str(job.identity.folder), "status": job.status,
        "reason": job.reason, "wall_s": round(max(job.wall_s, 0), 1),
    }  # fmt: skip


def _log(logs: Path, job: Job) -> Path:
    return logs / f"{job.identity.hash}.log"


def _say(line: str) -> None:
    tqdm.write(line)
    sys.stdout.flush()

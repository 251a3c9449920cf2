"""Runs the jobs of a sweep on this machine: one process each, a bounded number at a time.

A job that fails affects no other. A training that Linux kills because memory runs out resumes with
smaller microbatches, as one that finds out by itself does. Used by the `local` launcher
(`--multirun`) and by `reproduce`. Writes one log per job.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from meld_lightning.config.words import counted
from meld_lightning.errors import Stopped, UserError
from meld_lightning.launching.forked import ForkedJob
from meld_lightning.launching.jobs import Job, last_line
from meld_lightning.launching.sweep import Sweep
from meld_lightning.runs.identity import is_import

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 4  # a training holds 1 to 3 GB: more of them would fill a laptop's memory
GRACE_S = 60  # how long a stopped job may take to save its checkpoint
VMSTAT = Path("/proc/vmstat")  # counts, among much else, the processes killed for lack of memory

Devices = dict[str, str]  # environment variables that give a job its own GPUs
Process = subprocess.Popen[bytes] | ForkedJob


class RunningJob(NamedTuple):
    """A job that runs, its own GPUs, and Linux's count of kills for lack of memory before it."""

    job: Job
    devices: Devices
    oom_kills: int


def default_jobs(configs: Sequence[DictConfig]) -> int:
    """How many jobs with these configs to run at a time: one per GPU, or without GPUs one per core
    but at most MOST_AT_ONCE; fewer if a job is several processes."""
    processes = max((config.numerics.world_size for config in configs), default=1)
    return max(1, (_gpus() or min(os.cpu_count() or 1, MOST_AT_ONCE)) // processes)


def run_here(jobs: Sequence[Job], at_once: int, logs: Path) -> None:
    """Runs the unfinished jobs, `at_once` at a time (0: `default_jobs`), and sets each job's status
    and reason.

    Two jobs with the same hash run once. Ctrl-C makes the running jobs save, waits for them, and
    raises Stopped.
    """
    if at_once < 0:
        raise UserError(
            f"hydra.launcher.jobs={at_once}: expected 0 (choose by GPUs and cores) or more"
        )
    with Sweep(jobs, logs) as sweep:
        waiting = list(sweep.pending)
        if waiting and not at_once:  # it takes an import of torch
            at_once = default_jobs([job.config for job in jobs])
        sweep.announce(f"{at_once} at a time")
        running: dict[Process, RunningJob] = {}
        devices = _devices(at_once, jobs) if waiting else []
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    started = RunningJob(waiting.pop(0), devices.pop(), _oom_kills())
                    # the first start waits for imports: a stop meanwhile would lose the job
                    with _stops_held():
                        running[_start(started.job, started.devices, sweep)] = started
                time.sleep(0.1)
                sweep.bar.set_postfix_str(_state([one.job for one in running.values()]))
                for process in [process for process in running if process.poll() is not None]:
                    started = running.pop(process)
                    devices.append(started.devices)
                    _end_or_retry(started, process.wait(), sweep, waiting)
        except BaseException as error:
            _stop(list(running))
            for job in sweep.pending:  # also one whose process did not start
                if job.status == "running":
                    job.status = "stopped"
            if not isinstance(error, KeyboardInterrupt):
                raise
            # a job may have finished while it was being stopped
            left = [one for one in sweep.pending if one.status != "finished" and one.run is None]
            raise Stopped(
                f"unfinished: {len(left)} of {counted(len(sweep.pending), 'run')}; those that had"
                " started are saved"
            ) from None
        finally:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _stops_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM take effect at the end. They are not blocked, because multiprocessing
    unblocks them where it starts a process."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, lambda number, _: came.append(number)) for one in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            raise KeyboardInterrupt


def _devices(at_once: int, jobs: Sequence[Job]) -> list[Devices]:
    """The GPUs of each of the jobs that run at the same time; they share if there are too few."""
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


def _state(running: Sequence[Job]) -> str:
    """How many jobs run, and the last line of the log of one of them: mostly its epoch."""
    lines = [last_line(job.log) for job in running if job.log]
    latest = next((line for line in lines if line), "")
    return f"{len(running)} running" + (f", {latest[:50]}" if latest else "")


def _start(job: Job, devices: Devices, sweep: Sweep) -> Process:
    log = sweep.logs / f"{job.name}.log"
    mode = "a" if job.status == "running" else "w"  # a retry's log follows that of the first try
    job.set_result_aside()
    arguments = [job.command, str(sweep.begin(job, log))]
    logger.info("started %s (log: %s)", job.title, log)
    with log.open(mode) as file:
        if sys.platform == "linux" and not _gpus():
            return ForkedJob(arguments, log)
        return subprocess.Popen(
            [sys.executable, "-m", "meld_lightning.launching.job", *arguments],
            env={**os.environ, **devices},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C reaches the job through `_stop` only
        )


def _end_or_retry(started: RunningJob, code: int, sweep: Sweep, waiting: list[Job]) -> None:
    """Ends the job in the sweep; or puts it first in `waiting`, with smaller microbatches, if
    memory ran out while it trained."""
    job = started.job
    failure = _failure(job, code)
    if code == -signal.SIGKILL and _oom_kills() > started.oom_kills and _was_training(job):
        from meld_lightning.training.memory import (
            describe,
            double_microbatches,
            largest_batch,
            read_schedule,
        )

        assert job.identity is not None
        folder = job.identity.folder
        try:
            double_microbatches(folder, read_schedule(folder), largest_batch(job.config))
        except UserError as error:
            failure = str(error)
        else:
            logger.info("%s", describe(folder))
            waiting.insert(0, job)
            return
    sweep.end(job, failure)


def _was_training(job: Job) -> bool:
    """Whether the job had begun a run that divides its batches."""
    if job.command != "train" or job.identity is None or is_import(job.config.model):
        return False
    return job.identity.folder.is_dir()


def _oom_kills() -> int:
    """How many processes Linux has killed for lack of memory since it booted; 0 where it does not
    say."""
    if not VMSTAT.is_file():
        return 0
    counts = dict(line.split() for line in VMSTAT.read_text().splitlines())
    return int(counts.get("oom_kill", 0))


def _failure(job: Job, code: int) -> str:
    """Why a process with this return code failed; empty for 0."""
    if code == 0:
        return ""
    if code < 0:
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"killed by {signal.Signals(-code).name}{hint}"
    assert job.log is not None
    return last_line(job.log) or f"exit status {code}"


def _stop(running: Sequence[Process]) -> None:
    """Makes the jobs save and end; kills those that take longer than GRACE_S."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C does not shorten their time
    for process in running:
        process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + GRACE_S
    for process in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    signal.signal(signal.SIGINT, signal.default_int_handler)

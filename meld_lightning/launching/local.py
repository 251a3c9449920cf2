"""Runs the jobs of a sweep on this machine: one process each, a bounded number at a time.

A job that fails affects no other. Used by the `local` launcher (`--multirun`) and by `reproduce`.
Writes one log per job.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from meld_lightning.errors import Stopped, UserError
from meld_lightning.launching.forked import ForkedJob
from meld_lightning.launching.jobs import Job, last_line
from meld_lightning.launching.sweep import Sweep

MOST_AT_ONCE = 4  # a training holds 1 to 3 GB: more of them would fill a laptop's memory
GRACE_S = 60  # how long a stopped job may take to save its checkpoint

Devices = dict[str, str]  # environment variables that give a job its own GPUs
Process = subprocess.Popen[bytes] | ForkedJob


def default_jobs(jobs: Sequence[Job]) -> int:
    """How many jobs to run at a time: one per GPU, or without GPUs one per core but at most
    MOST_AT_ONCE; fewer if a job is several processes."""
    processes = max((job.config.numerics.world_size for job in jobs), default=1)
    return max(1, (_gpus() or min(os.cpu_count() or 1, MOST_AT_ONCE)) // processes)


def run_here(jobs: Sequence[Job], at_once: int, logs: Path) -> None:
    """Runs the unfinished jobs, `at_once` at a time (0: `default_jobs`), and sets each job's status
    and reason.

    Two jobs with the same hash run once. Ctrl-C makes the running jobs save, waits for them, and
    raises Stopped.
    """
    if at_once < 0:
        raise UserError(f"jobs={at_once}: expected at least 1")
    with Sweep(jobs, logs) as sweep:
        waiting = list(sweep.pending)
        if waiting and not at_once:  # it takes an import of torch
            at_once = default_jobs(jobs)
        sweep.announce(f"{at_once} at a time")
        running: dict[Process, tuple[Job, Devices]] = {}
        devices = _devices(at_once, jobs) if waiting else []
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    job, own = waiting.pop(0), devices.pop()
                    running[_start(job, own, sweep)] = (job, own)
                time.sleep(0.1)
                sweep.bar.set_postfix_str(_state([job for job, _ in running.values()]))
                for process in [process for process in running if process.poll() is not None]:
                    job, own = running.pop(process)
                    devices.append(own)
                    sweep.end(job, _failure(job, process.wait()))
        except BaseException as error:
            _stop({process: job for process, (job, _) in running.items()})
            if not isinstance(error, KeyboardInterrupt):
                raise
            left = len(waiting) + sum(job.run is None for job, _ in running.values())
            raise Stopped(
                f"{left} of {len(jobs)} runs are unfinished; those that had started are saved"
            ) from None
        finally:
            signal.signal(signal.SIGTERM, before)


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
    arguments = [job.command, str(sweep.begin(job, log))]
    with log.open("w") as file:
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


def _failure(job: Job, code: int) -> str:
    """Why a process with this return code failed; empty for 0."""
    if code == 0:
        return ""
    if code < 0:
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"killed by {signal.Signals(-code).name}{hint}"
    assert job.log is not None
    return last_line(job.log) or f"exit status {code}"


def _stop(running: dict[Process, Job]) -> None:
    """Makes the jobs save and end; kills those that take longer than GRACE_S."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C does not shorten their time
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

"""The jobs of a sweep on this machine: a process each, a bounded number at once, the failure of one
kept to itself.

Used by the `local` launcher (`--multirun`) and by `reproduce`. Writes a log per job.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from meld_lightning.errors import Stopped, UserError
from meld_lightning.launching.jobs import Job, Sweep, last_words

MOST_AT_ONCE = 4  # a training holds 1 to 3 GB; more of them would fill a laptop's memory
GRACE_S = 60  # how long a stopped job may take to save its checkpoint

Place = dict[str, str]  # environment that gives a job its own devices


def room(jobs: Sequence[Job]) -> int:
    """How many of the jobs this machine takes side by side: one for each of its GPUs, else for each
    core, but no more than MOST_AT_ONCE; fewer where a job is several processes."""
    each = max((job.config.numerics.world_size for job in jobs), default=1)
    return max(1, (_gpus() or min(os.cpu_count() or 1, MOST_AT_ONCE)) // each)


def run_here(jobs: Sequence[Job], at_once: int, logs: Path) -> None:
    """Runs what is not finished yet, `at_once` processes side by side; fills in each job's status
    and reason.

    Two jobs with one hash are run once. Ctrl-C asks the running jobs to save, waits for them, and
    raises Stopped.
    """
    if at_once < 1:
        raise UserError(f"jobs={at_once}: expected at least 1")
    with Sweep(jobs, logs) as sweep:
        sweep.announce(f"{at_once} at once")
        waiting = list(sweep.to_do)
        running: dict[subprocess.Popen, tuple[Job, Place]] = {}
        places = _places(at_once, jobs) if waiting else []
        before = signal.signal(
            signal.SIGTERM, signal.default_int_handler
        )  # as Ctrl-C: the jobs are asked to save
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    job, place = waiting.pop(0), places.pop()
                    running[_start(job, place, sweep)] = (job, place)
                time.sleep(0.1)
                sweep.bar.set_postfix_str(f"{len(running)} running")
                for process in [process for process in running if process.poll() is not None]:
                    job, place = running.pop(process)
                    places.append(place)
                    sweep.settle(job, _reason(job, process.returncode))
        except BaseException as error:
            _stop(
                {process: job for process, (job, _) in running.items()}
            )  # no job is left running unseen
            if not isinstance(error, KeyboardInterrupt):
                raise
            left = len(waiting) + sum(job.run is None for job, _ in running.values())
            raise Stopped(f"{left} of {len(jobs)} runs are left, those begun are saved") from None
        finally:
            signal.signal(signal.SIGTERM, before)


def _places(at_once: int, jobs: Sequence[Job]) -> list[Place]:
    """What each of the jobs that run side by side is told of the GPUs: its own, in turn where there
    are too few."""
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


def _start(job: Job, place: Place, sweep: Sweep) -> subprocess.Popen:
    log = sweep.logs / f"{job.name}.log"
    config = sweep.begin(job, log)
    with log.open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "meld_lightning.launching.job", job.command, str(config)],
            env={**os.environ, **place},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches it through `_stop` alone, once
        )


def _reason(job: Job, code: int) -> str:
    if code == 0:
        return ""
    if code < 0:
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"killed by {signal.Signals(-code).name}{hint}"
    assert job.log is not None
    return last_words(job.log) or f"exit status {code}"


def _stop(running: dict[subprocess.Popen, Job]) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # asked once more, they are still given their time to save
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

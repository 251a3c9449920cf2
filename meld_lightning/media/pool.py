"""Decodes clips in several worker processes, with a time limit per clip.

Used by store.py. A worker that dies or takes too long is replaced, and its clip is recorded with
that reason.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from meld_lightning.errors import UserError

WORKER = (sys.executable, "-m", "meld_lightning.media.worker")

Job = dict[str, Any]


class Stopped(Exception):  # noqa: N818 -- not an error: someone asked for it
    """Another thread has asked the pool to stop."""


class _Worker:
    """One worker process and its current job."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            [*command, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.job: Job | None = None
        self.started = 0.0

    def give(self, job: Job) -> None:
        assert self.process.stdin
        self.job, self.started = job, time.monotonic()
        # a worker that has died is noticed by the pool, which reads its end of file
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
            self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class Pool:
    """At most `size` workers, started when needed and ended with the `with` block.

    timeout_s: time limit per clip.
    command: the command line of a worker, without its last argument, this process's id.
    stop: once another thread has set it, `map` raises Stopped.
    """

    def __init__(
        self,
        size: int,
        timeout_s: float,
        command: Sequence[str] = WORKER,
        stop: threading.Event | None = None,
    ) -> None:
        self.size, self.timeout_s, self.command = size, timeout_s, command
        self.stop = stop or threading.Event()
        self.selector = selectors.DefaultSelector()
        self.idle: list[_Worker] = []
        self.busy: list[_Worker] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in [*self.idle, *self.busy]:
            worker.end()
        self.selector.close()

    def map(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, dict[str, Any]]]:
        """Yields (job, answer) in the order in which jobs finish.

        A job is worker.decode's argument, an answer its result. For a clip that crashed its worker
        or took too long, `retry_over_s` is set: it is tried again under a longer time limit
        than that (0: under any).
        """
        waiting = list(jobs)[::-1]
        while waiting or self.busy:
            if self.stop.is_set():
                raise Stopped
            while waiting and (self.idle or len(self.busy) < self.size):
                worker = self.idle.pop() if self.idle else self._start()
                worker.give(waiting.pop())
                self.busy.append(worker)
            for key, _ in self.selector.select(timeout=0.2):
                yield self._answer(key.data)
            now = time.monotonic()
            for worker in [one for one in self.busy if now - one.started > self.timeout_s]:
                reason = f"not decoded within {self.timeout_s:g} s (media.timeout_s)"
                yield self._lost(worker, reason, retry_over_s=self.timeout_s)

    def _start(self) -> _Worker:
        worker = _Worker(self.command)
        assert worker.process.stdout
        self.selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        return worker

    def _answer(self, worker: _Worker) -> tuple[Job, dict[str, Any]]:
        assert worker.process.stdout
        assert worker.job
        line = worker.process.stdout.readline()
        if not line.endswith(b"\n"):
            code = worker.process.wait()
            how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            # perhaps because of too little memory, so that it is worth another try
            return self._lost(worker, f"crashed the decoder ({how})", retry_over_s=0)
        answer = json.loads(line)
        if "refused" in answer:
            raise UserError(answer["refused"])
        self.busy.remove(worker)
        self.idle.append(worker)
        return worker.job, answer

    def _lost(
        self, worker: _Worker, reason: str, retry_over_s: float
    ) -> tuple[Job, dict[str, Any]]:
        assert worker.process.stdout
        assert worker.job
        self.busy.remove(worker)
        self.selector.unregister(worker.process.stdout)
        worker.end()
        lost = {"count": 0, "reason": reason, "retry_over_s": retry_over_s}
        return worker.job, {kind: dict(lost) for kind in worker.job["sources"]}

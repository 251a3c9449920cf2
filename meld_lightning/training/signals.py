"""Requests to stop a running process: Ctrl-C, SIGTERM, or a cluster that needs the machine back.

Used by Slurm's jobs, by training and by its callbacks. Imports nothing heavy: a job listens for
signals before its heavy imports.
"""

import functools
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from meld_lightning.errors import Preempted, Stopped

MAKE_ROOM = signal.SIGUSR2  # submitit makes Slurm send it before a preemption or a time limit
SIGNALS = (signal.SIGINT, signal.SIGTERM, MAKE_ROOM)
SAME_REQUEST_S = 1.0
KEPT = "its last checkpoint is kept"


class StopRequest:
    """Handles the signals: raises at once, or, while `deferred`, leaves that to whoever reads
    `asked`. A second request raises at once.

    Never raises while a module is imported: torch aborts the process if an exception reaches its
    C++ code then. `raise_if_asked` makes up for it.

    MAKE_ROOM raises Preempted, after which the job is requeued; the other signals raise Stopped.
    """

    def __init__(self) -> None:
        self.asked = self.deferred = False
        self.preempted = False
        self._asked_at = 0.0

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.asked and (
            signum == MAKE_ROOM or time.monotonic() - self._asked_at < SAME_REQUEST_S
        ):
            # a terminal's Ctrl-C reaches a rank twice: directly and through its parent process
            return
        if not self.asked:
            self.preempted = signum == MAKE_ROOM
        again, self.asked, self._asked_at = self.asked, True, time.monotonic()
        if (again or not self.deferred) and not _is_importing(frame):
            raise self.leaving(KEPT)

    def raise_if_asked(self) -> None:
        """Raises for a request that came while modules were imported."""
        if self.asked:
            raise self.leaving(KEPT)

    def leaving(self, state: str) -> Stopped:
        """The exception to raise; `state` says how far the run got."""
        return Preempted(state) if self.preempted else Stopped(state)

    def take_over(self) -> None:
        """Handles SIGNALS from now on, if this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self)

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Handles SIGNALS until the block ends."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self.take_over()
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether Python's import machinery called `frame`, directly or not."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


@functools.cache
def stop_request() -> StopRequest:
    """The process's only one: a request whose exception was swallowed by a library still counts at
    the end of the next step."""
    return StopRequest()

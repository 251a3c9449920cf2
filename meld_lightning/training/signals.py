"""Stops asked of a running process: Ctrl-C, a polite kill, or a cluster that wants the machine
back.

Used by the launchers' jobs, by training and by its checkpoints. Imports nothing heavy: a job
listens before it imports.
"""

import functools
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from meld_lightning.errors import Preempted, Stopped

MAKE_ROOM = signal.SIGUSR2  # what submitit has Slurm send before a preemption or a time limit
SIGNALS = (signal.SIGINT, signal.SIGTERM, MAKE_ROOM)
SAME_REQUEST_S = 1.0


class StopRequest:
    """Set by a signal. Raises at once, or while `deferred` at a batch boundary; asked again, at
    once.

    MAKE_ROOM raises Preempted, which asks to be started again; the others raise Stopped.
    """

    def __init__(self) -> None:
        self.asked = self.deferred = False
        self.preempted = False
        self._asked_at = 0.0

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.asked and (
            signum == MAKE_ROOM or time.monotonic() - self._asked_at < SAME_REQUEST_S
        ):
            # a terminal's Ctrl-C reaches a rank twice: by itself and through the process that
            # started it
            return
        if not self.asked:
            self.preempted = signum == MAKE_ROOM
        again, self.asked, self._asked_at = self.asked, True, time.monotonic()
        if again or not self.deferred:
            raise self.leaving("what was saved last stands")

    def leaving(self, said: str) -> Stopped:
        """What to raise; `said` tells where the run stands."""
        return Preempted(said) if self.preempted else Stopped(said)

    def take_over(self) -> None:
        """Listens to SIGNALS from here on, where this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self)

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Takes the signals over until the block ends."""
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


@functools.cache
def stop_request() -> StopRequest:
    """This process's: an exception that was raised where nobody heard it is still remembered at the
    next batch."""
    return StopRequest()

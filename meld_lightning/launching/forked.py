"""The process of a job, forked from a server that has imported the libraries once.

Importing torch, Lightning and transformers takes a new interpreter seconds of CPU, more than some
runs of the mini corpus. Used by launching/local.py on Linux without a GPU: neither CUDA nor the
libraries of macOS survive a fork.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from meld_lightning.launching.exits import STOPPED

FORKS = multiprocessing.get_context("forkserver")


class ForkedJob:
    """`python -m meld_lightning.launching.job ARGUMENTS`, used as a subprocess.Popen is.

    It heads a session of its own and writes into `log`.
    """

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        FORKS.set_forkserver_preload(["meld_lightning.launching.warm"])
        heard, listens = FORKS.Pipe(duplex=False)
        given = (list(arguments), log, Path.cwd(), dict(os.environ), listens)
        self._process = FORKS.Process(target=_run, args=given)
        self._process.start()
        listens.close()
        # before that it ignores Ctrl-C, as the server does, and a stop would be lost
        with heard, suppress(EOFError):  # EOF: it has died
            heard.recv()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("job", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


def _run(
    arguments: list[str], log: Path, folder: Path, environment: dict[str, str], listens: Connection
) -> None:
    """Runs, in the forked process, what a new interpreter would run.

    listens: gets a word as soon as the process heeds SIGINT.
    """
    multiprocessing.set_start_method(None, force=True)  # the platform's, as everywhere
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.argv = ["job", *arguments]
    sys.path.insert(0, str(folder))
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with listens:
            listens.send(None)
        runpy.run_module("meld_lightning.launching.job", run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:  # before the job handles it
        sys.exit(STOPPED)
    finally:
        atexit._run_exitfuncs()  # as an interpreter that ends does; multiprocessing leaves it out

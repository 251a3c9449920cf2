"""Commands in processes forked from one that has imported the libraries already.

Importing torch, Lightning and transformers costs a command seconds of CPU before it begins; a test
suite that runs hundreds of commands would do little else. multiprocessing's fork server imports
them once and forks a process for each command, which then runs what a new interpreter would run:
with its own arguments, folder, environment, output, signals and exit status.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

FORKS = multiprocessing.get_context("forkserver")


class Forked:
    """A command line [python, "-m", MODULE or "-c", CODE, ARGUMENT ...] as a process in `folder`.

    It heads a session of its own and is used as a subprocess.Popen is.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        with mock.patch.dict(os.environ, environment):  # the server keeps what it starts with
            FORKS.set_forkserver_preload(["tests.imports"])
            forkserver.ensure_running()
        self.command = list(command)
        self.output = tempfile.TemporaryDirectory(prefix="meld-lightning-test-")
        self.out, self.err = (Path(self.output.name, name) for name in ("out", "err"))
        given = (self.command[1:], folder, dict(environment), self.out, self.err)
        self.process = FORKS.Process(target=execute, args=given)
        self.process.start()

    @property
    def pid(self) -> int:
        """The process's, and its group's."""
        assert self.process.pid is not None
        return self.process.pid

    @property
    def stdout(self) -> str:
        """What it has written so far."""
        return self.out.read_text() if self.out.exists() else ""

    @property
    def stderr(self) -> str:
        """What it has written so far."""
        return self.err.read_text() if self.err.exists() else ""

    def poll(self) -> int | None:
        """The exit status, negative for a signal, or None while it runs."""
        return self.process.exitcode

    def wait(self, timeout: float) -> int:
        """The exit status. After `timeout` seconds the process is killed: it hangs."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            os.killpg(self.pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(self.command, timeout, self.stdout, self.stderr)
        return self.process.exitcode

    def send_signal(self, sign: signal.Signals) -> None:
        """Does nothing where the process has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, sign)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def execute(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: Path, err: Path
) -> None:
    """Runs, in the forked process, what `python ARGUMENTS` runs."""
    multiprocessing.set_start_method(None, force=True)  # the platform's, as everywhere
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's is ignored
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    option, what, *rest = arguments
    sys.argv = [option, *rest]
    sys.path.insert(0, str(folder))  # as -m and -c do
    try:
        if option == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(what, {"__name__": "__main__"})
    finally:
        atexit._run_exitfuncs()  # as an interpreter that ends does; multiprocessing leaves it out

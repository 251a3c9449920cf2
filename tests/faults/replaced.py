"""Replaces the calls of this process that change files by ones that count and may fail.

Python's own calls are replaced: open, write, fsync, rename, mkdir, link, unlink and their like.
Libraries that write from C++ or Rust are not seen. A process that runs `FAULTY` as its code is
watched from its first line on; the environment says how (see `watch`). Used by the tests of this
folder.
"""

import builtins
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any
from unittest import mock

import hydra

from tests.faults.calls import Calls, Fault, absolute, real_open, real_os_open

FAULTY = """
import sys
from tests.faults.replaced import watch
watch()
from meld_lightning.commands.cli import main
sys.exit(main(sys.argv[1:]))
"""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def watch() -> None:
    """Counts this process's calls from now on, as its environment says."""
    given = os.environ.get("FAULT")
    fault = Fault(**json.loads(given)) if given else None
    calls = Calls(os.environ["FAULT_ROOT"], "command", fault, os.environ.get("FAULT_LOG"))
    calls.forks = os.environ.get("FAULT_FORKS")
    _replace_calls(calls)
    _serve_tasks(calls)
    _fork_workers(calls)


def _replace_calls(calls: Calls) -> None:
    class Raw(io.FileIO):
        """A file that is written to by calls that count."""

        def write(self, data: Any, /) -> int:
            view = memoryview(data).cast("B")
            calls.made("write", self.name, lambda: io.FileIO.write(self, view[: len(view) // 2]))
            return io.FileIO.write(self, data)

    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        given = (file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not set(mode) & set("wax+") or not _is_below(file, calls.root):
            return real_open(*given)
        if not isinstance(file, int):
            calls.made("open", file)
        raw = Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        kind: Any = io.BufferedRandom if "+" in mode else io.BufferedWriter
        buffer = kind(raw)
        if "b" in mode:
            return buffer
        text: Any = io.TextIOWrapper(buffer, io.text_encoding(encoding), errors, newline)
        text.mode = mode
        return text

    builtins.open = io.open = opened

    def counting(name: str, kind: str, place: int = 0) -> None:
        real = getattr(os, name)

        def call(*given: Any, **named: Any) -> Any:
            folder = named.get("dir_fd")
            calls.made(kind, absolute(given[place], folder))
            return real(*given, **named)

        setattr(os, name, call)
        if real in os.supports_dir_fd:  # shutil.rmtree looks there
            os.supports_dir_fd.add(call)
        if real in os.supports_follow_symlinks:
            os.supports_follow_symlinks.add(call)

    for name, kind, place in (
        ("write", "write", 0),
        ("pwrite", "write", 0),
        ("writev", "write", 0),
        ("sendfile", "write", 0),
        ("copy_file_range", "write", 1),
        ("truncate", "write", 0),
        ("ftruncate", "write", 0),
        ("fsync", "fsync", 0),
        ("fdatasync", "fsync", 0),
        ("rename", "rename", 1),
        ("replace", "rename", 1),
        ("mkdir", "mkdir", 0),
        ("link", "link", 1),
        ("symlink", "link", 1),
        ("unlink", "unlink", 0),
        ("remove", "unlink", 0),
        ("rmdir", "rmdir", 0),
    ):
        counting(name, kind, place)

    def os_open(path: Any, flags: int, *given: Any, **named: Any) -> int:
        if flags & WRITING:
            calls.made("open", absolute(path, named.get("dir_fd")))
        return real_os_open(path, flags, *given, **named)

    os.open = os_open
    os.supports_dir_fd.add(os_open)


def _is_below(file: Any, root: str) -> bool:
    try:
        return (absolute(file) + "/").startswith(root + "/")
    except (OSError, TypeError):
        return False


def _serve_tasks(calls: Calls) -> None:
    """When `calls` serves, Hydra has composed the config, and the command itself has read and
    written nothing."""
    real = hydra.main

    def main(**given: Any) -> Any:
        def decorated(task: Callable[[Any], None]) -> Any:
            @wraps(task)
            def serve_and_run(cfg: Any) -> None:
                calls.serve()
                task(cfg)

            return real(**given)(serve_and_run)

        return decorated

    mock.patch.object(hydra, "main", main).start()


def _fork_workers(calls: Calls) -> None:
    """Decoding's workers, which are new interpreters, are forked here and watched: a new one would
    cost a second."""
    from meld_lightning.media import pool, worker

    class ForkedWorker:
        def __init__(self, command: Any, **_: Any) -> None:
            jobs, answers, parent = os.pipe(), os.pipe(), os.getpid()
            calls.workers += 1
            sys.stdout.flush()
            self.pid = os.fork()
            if self.pid == 0:
                _work(calls, jobs, answers, parent, worker.main)
            os.close(jobs[0])
            os.close(answers[1])
            self.stdin = real_open(jobs[1], "wb")
            self.stdout = real_open(answers[0], "rb")
            self._status: int | None = None

        def kill(self) -> None:
            if self._status is None:
                os.kill(self.pid, signal.SIGKILL)

        def wait(self) -> int:
            if self._status is None:
                self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            return self._status

    processes = mock.Mock(Popen=ForkedWorker, PIPE=None, DEVNULL=None)
    mock.patch.object(pool, "subprocess", processes).start()


def _work(calls: Calls, jobs: Any, answers: Any, parent: int, main: Callable[[], None]) -> None:
    calls.process, calls.number = f"worker {calls.workers}", 0
    os.setsid()
    os.dup2(jobs[0], 0)
    os.dup2(answers[1], 1)
    os.closerange(3, max(*jobs, *answers) + 1)
    calls.opened = None
    sys.stdin, sys.stdout = real_open(0), real_open(1, "w")
    sys.argv = ["worker", str(parent)]
    status = 1
    try:
        main()
        status = 0
    finally:
        os._exit(status)

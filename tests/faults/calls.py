"""Counts the calls of this process that change files below a folder, and makes one of them fail.

Each call gets a number; the calls of decoding's worker processes are counted apart. replaced.py
says which calls. Writes a line for each call if asked to. Used by the tests of this folder.
"""

import errno
import io
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra

FAULTS = ("EIO", "ENOSPC", "SIGKILL")
NEEDS_ROOM = ("open", "write", "mkdir", "fsync", "link")  # fail on a disk that stays full
HYDRAS = 1  # calls before the command itself begins: Hydra makes its output folder
HANGS_S = 600  # after these seconds a case is taken for hung
real_open, real_os_open, real_os_write = io.open, os.open, os.write


@dataclass(frozen=True)
class Fault:
    """Which call fails, and how. process: `command`, or `worker 1` for the first that decodes."""

    process: str
    number: int
    kind: str


@dataclass(frozen=True)
class Call:
    """One call: the process that makes it, its number there, its kind, and its path below the
    root."""

    process: str
    number: int
    kind: str
    path: str

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"

    def same_place(self, other: "Call") -> bool:
        """Whether both are the same process's call of the same number."""
        return (self.process, self.number) == (other.process, other.number)


@dataclass
class Calls:
    """The calls of one process below `root`, from 1.

    log: the file with a line for each call; None keeps none.
    """

    root: str
    process: str
    fault: Fault | None
    log: str | None
    number: int = 0
    full: bool = False
    workers: int = 0
    forks: str | None = None  # the folder with the pipes of `serve`
    opened: int | None = None  # the log

    def made(self, kind: str, path: Any, half: Callable[[], object] = lambda: None) -> None:
        """To be called before each call. Raises, or ends the process, where it is to fail.

        half: writes a part of what the call would write.
        """
        where = absolute(path)
        if not (where + "/").startswith(self.root + "/"):
            return
        self.number += 1
        self._note(kind, where)
        if self.full and kind in NEEDS_ROOM:
            raise self._error(errno.ENOSPC, kind, where)
        if self.fault is None or (self.process, self.number) != (
            self.fault.process,
            self.fault.number,
        ):
            return
        half()
        if self.fault.kind == "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        self.full = self.fault.kind == "ENOSPC"
        raise self._error(getattr(errno, self.fault.kind), kind, where)

    def serve(self) -> None:
        """Called as the command itself begins. Where there is a folder with pipes, forks a process
        for each run that is asked for, which goes on from here; ends with the last one.

        All that came before, above all the composing of the config, is done once for all runs.
        """
        if not self.forks:
            return
        composed = GlobalHydra.instance().hydra
        with real_open(f"{self.forks}/ask") as asked, real_open(f"{self.forks}/answer", "w") as to:
            for line in asked:
                if (pid := os.fork()) == 0:
                    GlobalHydra.instance().hydra = composed  # tests/imports.py clears it
                    fault, self.log, output = json.loads(line)
                    self.fault, self.forks = Fault(**fault) if fault else None, None
                    os.chdir(self.root)  # a new folder under the old name
                    said = real_os_open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                    os.dup2(said, 1)
                    os.dup2(said, 2)
                    signal.alarm(HANGS_S)
                    return
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                print(status, file=to, flush=True)
        os._exit(0)

    def _note(self, kind: str, where: str) -> None:
        if self.log is None:
            return
        if self.opened is None:
            self.opened = real_os_open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        line = json.dumps([self.process, self.number, kind, os.path.relpath(where, self.root)])
        real_os_write(self.opened, line.encode() + b"\n")

    def _error(self, number: int, kind: str, where: str) -> OSError:
        """As the system raises it: what works on an open file names none."""
        named = () if kind in ("write", "fsync") else (where,)
        return OSError(number, os.strerror(number), *named)


def absolute(path: Any, folder: int | None = None) -> str:
    """A path, or what an open file's number stands for, as an absolute path."""
    if isinstance(path, int):
        return str(Path(f"/proc/self/fd/{path}").readlink())
    start = Path.cwd() if folder is None else Path(f"/proc/self/fd/{folder}").readlink()
    return os.path.normpath(start / os.fsdecode(path))


def listed(log: Path) -> list[Call]:
    """The calls that a process and its workers have logged."""
    return [Call(*json.loads(line)) for line in log.read_text().splitlines()]

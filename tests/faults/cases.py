"""Makes one call of a command fail, runs the command again without faults, and compares.

Used by the tests of this folder. A case is a command, the number of one of its calls and a fault.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import signal
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from tests.faults.calls import FAULTS, HYDRAS, Call, Fault, listed
from tests.faults.replaced import FAULTY
from tests.faults.study import COMMANDS, write_inputs
from tests.running import HANGS_S, run, start, until

RUN = re.compile(r"runs/[^/.]+/[^/]+")  # a run folder is complete once result.json is there
# says nothing about completeness: locks, what a finished run removes last, the parts that a killed
# prediction goes on from, and the report that `prepare` writes for people, to which it adds the
# clips when they are decoded
NO_RESULT = re.compile(r"\.lock$|/checkpoints/last\.ckpt$|\.parts/|^cache/corpus/[^/]+/report\.md$")
LATER = re.compile(r"/media\.json$|\.lock$")  # files that come to a complete folder
TEMPORARY = re.compile(r"\.[0-9a-f]{8}\.tmp(?=/|$)")
MEASURED = ("wall_s", "peak_memory_mb")  # of a result: no two runs take equally long
# where no lock says that nobody else is writing, a killed writer's temporary file stays
MAY_STAY = re.compile(r"(experiments/.*|reports/.*|)\.[^/]+\.[0-9a-f]{8}\.tmp")

Contents = dict[str, str]


@dataclass(frozen=True)
class Case:
    """One command, one of its calls, and how that call fails."""

    command: str
    call: Call
    fault: str

    def __str__(self) -> str:
        where = "" if self.call.process == "command" else f" of {self.call.process}"
        return f"{self.command}, {self.fault} at call {self.call.number}{where}: {self.call}"


@dataclass
class Study:
    """The tiny study, made once without faults.

    folder: holds `given`, the inputs; `work`, where every command runs, so that nothing depends on
        its path; and the states of `work` before the first command and after each.
    calls: of each command.
    """

    folder: Path
    calls: dict[str, list[Call]] = field(default_factory=dict)
    again: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    known: dict[Path, Contents] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def before(self, command: str) -> Path:
        return self.folder / f"state {list(COMMANDS).index(command)}"

    def after(self, command: str) -> Path:
        return self.folder / f"state {list(COMMANDS).index(command) + 1}"

    def contents_before(self, command: str) -> Contents:
        return self._contents(self.before(command))

    def contents_after(self, command: str) -> Contents:
        return self._contents(self.after(command))

    def _contents(self, state: Path) -> Contents:
        if state not in self.known:
            self.known[state] = contents(state)
        return self.known[state]

    def argv(self, command: str) -> list[str]:
        arguments = COMMANDS[command](self.folder / "given", self.work)
        return [sys.executable, "-c", FAULTY, *arguments]


def make_study(folder: Path) -> Study:
    """Runs every command once and notes its calls."""
    study = Study(folder)
    (folder / "given").mkdir(parents=True)
    write_inputs(folder / "given")
    study.work.mkdir()
    shutil.copytree(study.work, folder / "state 0")
    for command in COMMANDS:
        log = folder / f"{command}.calls"
        done = run(study.argv(command), study.work, FAULT_ROOT=str(study.work), FAULT_LOG=str(log))
        assert done.returncode == 0, done.stderr
        study.calls[command] = listed(log)
        shutil.copytree(study.work, study.after(command))
    return study


def cases_of(study: Study) -> list[Case]:
    """Every call of every command with every fault, but for Hydra's own first call, which makes
    the folder that the command runs in."""
    return [
        Case(command, call, fault)
        for command, calls in study.calls.items()
        for call in calls[HYDRAS:]
        for fault in FAULTS
    ]


class Sufferer:
    """Runs one command with one fault at a time, as a context.

    What comes before the command itself, above all composing its config, is done once for all
    cases; see `Calls`.
    """

    def __init__(self, study: Study, command: str) -> None:
        self.study, self.command, self.pipes = study, command, study.folder / "pipes"
        self.log, self.output = study.folder / "log", study.folder / "output"

    def __enter__(self) -> Self:
        shutil.rmtree(self.pipes, ignore_errors=True)
        self.pipes.mkdir()
        for name in ("ask", "answer"):
            os.mkfifo(self.pipes / name)
        _restore(self.study.before(self.command), self.study.work)
        self.process = start(
            self.study.argv(self.command),
            self.study.work,
            FAULT_ROOT=str(self.study.work),
            FAULT_FORKS=str(self.pipes),
        )
        until(self._is_listening, self.process, "the command itself begins")
        self.answer = (self.pipes / "answer").open()
        return self

    def _is_listening(self) -> bool:
        """Opens the pipe for cases once the command has."""
        try:
            number = os.open(self.pipes / "ask", os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return False
        self.ask = os.fdopen(number, "w")
        return True

    def __exit__(self, *_: object) -> None:
        self.ask.close()
        self.answer.close()
        assert self.process.wait(HANGS_S) == 0, self.process.stderr

    def suffer(self, case: Case) -> list[str]:
        """Runs the command with the case's fault and then again without one; says what is wrong,
        and nothing if all is well."""
        study = self.study
        _restore(study.before(self.command), study.work)
        self.log.unlink(missing_ok=True)
        status, said = self._run(Fault(case.call.process, case.call.number, case.fault))
        struck = [call for call in listed(self.log) if call.same_place(case.call)]
        if [call.kind for call in struck] != [case.call.kind]:
            return [f"another call was struck: {', '.join(map(str, struck))}"]
        found, expected = contents(study.work), study.contents_after(self.command)
        return [
            *_wrong_status(case, status, said, found, expected),
            *_lies(case, found, study.contents_before(self.command), expected),
            *self._run_again(found),
        ]

    def _run_again(self, found: Contents) -> list[str]:
        """What is wrong after the command has been run again. Equal contents are not tried
        twice."""
        again = self.study.again
        equal = sorted((TEMPORARY.sub(".tmp", path), digest) for path, digest in found.items())
        if (key := (self.command, json.dumps(equal))) not in again:
            status, said = self._run(None)
            wrong = [] if status == 0 else [f"run again, it fails: {said[-2000:]}"]
            expected = self.study.contents_after(self.command)
            again[key] = [*wrong, *_differences(expected, contents(self.study.work))]
        return again[key]

    def _run(self, fault: Fault | None) -> tuple[int, str]:
        """Status and output of the command, run with a fault or without one."""
        described = asdict(fault) if fault else None
        self.output.unlink(missing_ok=True)
        log = str(self.log) if fault else None
        print(json.dumps([described, log, str(self.output)]), file=self.ask, flush=True)
        return int(self.answer.readline()), self.output.read_text()


def _restore(state: Path, work: Path) -> None:
    shutil.rmtree(work)
    shutil.copytree(state, work)


def _wrong_status(
    case: Case, status: int, said: str, found: Contents, expected: Contents
) -> list[str]:
    """What is wrong with how the command ended."""
    if case.fault == "SIGKILL" and case.call.process == "command":
        return [] if status == -signal.SIGKILL else [f"killed, and ended with status {status}"]
    if status == 0:
        done, whole = _results(found), _results(expected)
        return [] if _lost_a_clip(case) or done == whole else ["status 0, and other contents"]
    lines = [line for line in said.splitlines() if line.startswith("meld-lightning: ")]
    if len(lines) != 1 or "Traceback" in said:
        return [f"status {status} without one line that says why: {said[-2000:]}"]
    return []


def _results(found: Contents) -> Contents:
    return {path: digest for path, digest in found.items() if not NO_RESULT.search(path)}


def _lost_a_clip(case: Case) -> bool:
    """Whether the clip's worker is killed: the clip is then recorded as missing, with the reason,
    and the next `prepare` decodes it."""
    return case.fault == "SIGKILL" and case.call.process != "command"


def _lies(case: Case, found: Contents, before: Contents, after: Contents) -> list[str]:
    """Files that say they are complete and are not: with contents that no calm command leaves, or
    without the files that belong to them."""
    wrong = []
    for path, digest in found.items():
        if TEMPORARY.search(path) or NO_RESULT.search(path) or digest in _calm(path, before, after):
            continue
        run_folder = RUN.match(path)
        unfinished = run_folder is not None and f"{run_folder[0]}/result.json" not in found
        if not unfinished and not (_lost_a_clip(case) and "/media" in path):
            wrong.append(f"{path}: neither what it was nor what it becomes")
    for path in found.keys() & after.keys():
        folder, _, name = path.rpartition("/")
        if name in ("manifest.json", "result.json"):
            wrong += [
                f"{path} is there, {one} is not"
                for one in after
                if one.startswith(f"{folder}/") and one not in found and not LATER.search(one)
            ]
    return wrong


def _calm(path: str, *states: Contents) -> set[str]:
    return {state[path] for state in states if path in state}


def _differences(expected: Contents, found: Contents) -> list[str]:
    return [
        f"{path}: after it was run again {_difference(expected.get(path), found.get(path))}"
        for path in sorted(expected.keys() | found.keys())
        if expected.get(path) != found.get(path) and not MAY_STAY.fullmatch(path)
    ]


def _difference(expected: str | None, found: str | None) -> str:
    return "missing" if found is None else "still there" if expected is None else "different"


def contents(folder: Path) -> Contents:
    """Path below `folder` -> digest of each file; results without what is measured."""
    return {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.name == "result.json":
        result = json.loads(content)
        content = json.dumps({**result, **dict.fromkeys(MEASURED)}).encode()
    return hashlib.sha256(content).hexdigest()

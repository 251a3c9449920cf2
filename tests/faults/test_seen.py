"""How many of the system calls that change a command's output are seen by replaced.py, and so can
be made to fail: compared with strace, for every command."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.calls import listed
from tests.faults.cases import Study, make_study
from tests.faults.study import COMMANDS
from tests.running import HANGS_S, environment

# system call -> the kind of call that it belongs to
KIND_OF = {
    **dict.fromkeys(("open", "openat", "creat"), "open"),
    **dict.fromkeys(("write", "pwrite64", "writev", "sendfile", "copy_file_range"), "write"),
    **dict.fromkeys(("ftruncate", "truncate", "fallocate"), "write"),
    **dict.fromkeys(("fsync", "fdatasync"), "fsync"),
    **dict.fromkeys(("rename", "renameat", "renameat2"), "rename"),
    **dict.fromkeys(("mkdir", "mkdirat"), "mkdir"),
    **dict.fromkeys(("link", "linkat", "symlink", "symlinkat"), "link"),
    **dict.fromkeys(("unlink", "unlinkat"), "unlink"),
    "rmdir": "rmdir",
}
# written by libraries in C: numpy's arrays, and the ends of files that C streams flush
MISSED = {("write", "npy")}


def traced(study: Study, command: str) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """(kind, suffix of the file) -> calls that strace saw below the output folder, and those of
    them that replaced.py saw."""
    shutil.rmtree(study.work)
    shutil.copytree(study.before(command), study.work)
    log, trace = study.folder / "seen", study.folder / "trace"
    for path in (log, trace):
        path.unlink(missing_ok=True)
    calls = ",".join(f"?{name}" for name in KIND_OF)
    strace = ["strace", "-f", "-y", "-s", "0", "-e", f"trace={calls}", "-o", str(trace)]
    subprocess.run(
        [*strace, *study.argv(command)],
        cwd=study.work,
        env={**environment(), "FAULT_ROOT": str(study.work), "FAULT_LOG": str(log)},
        check=True,
        capture_output=True,
        timeout=HANGS_S,
    )
    ours = Counter((call.kind, suffix(call.path)) for call in listed(log))
    theirs: Counter[tuple[str, str]] = Counter()
    for line in trace.read_text().splitlines():
        if (found := seen_by_strace(line, study.work)) is not None:
            theirs[found] += 1
    return theirs, ours


def seen_by_strace(line: str, work: Path) -> tuple[str, str] | None:
    """(kind, suffix) of a line of strace's that is about the output folder."""
    match = re.match(r"\d+ +(\w+)\((.*)", line)
    if match is None or match[1] not in KIND_OF:
        return None
    name, rest = match.groups()
    kind = "rmdir" if "AT_REMOVEDIR" in rest else KIND_OF[name]
    if kind == "open" and not re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC)", rest):
        return None
    if kind in ("write", "fsync"):  # of an open file
        path = re.match(r"\d+<([^>]*)>", rest)
        where = path[1] if path else ""
    else:
        start = re.match(r"(?:AT_FDCWD|\d+)<([^>]*)>", rest)
        quoted = re.findall(r'"([^"]*)"', rest)
        where = str(Path(start[1] if start else work, quoted[-1])) if quoted else ""
    return (kind, suffix(where)) if Path(where).is_relative_to(work) else None


def suffix(path: str) -> str:
    """Of a file's own name, without what makes it temporary: parquet, ckpt, none."""
    name = re.sub(r"^\.|\.[0-9a-f]{8}\.tmp$", "", path.rpartition("/")[2])
    return name.rpartition(".")[2] if "." in name else ""


@pytest.mark.long
def test_strace_sees_what_is_seen_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace on this machine")
    study, missed = make_study(tmp_path / "faults"), Counter[tuple[str, str]]()
    total = seen = 0
    for command in COMMANDS:
        theirs, ours = traced(study, command)
        assert ours - theirs == Counter(), f"{command}: counted here and never made"
        missed += theirs - ours
        total, seen = total + theirs.total(), seen + ours.total()
    with capsys.disabled():
        print(f"\nstrace saw {total} calls, {seen} of them are seen here; not seen: {missed}")
    assert set(missed) == MISSED

"""Each expected failure is one line on stderr and the status that shells and Slurm read."""

import errno
import subprocess

import pytest

from meld_lightning.errors import Preempted, Stopped, UserError
from meld_lightning.launching.exits import exit_status
from tests.running import argv, environment


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (UserError("seed=-1: expected 0 or more"), 1, "seed=-1: expected 0 or more"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "a file that was being written: No space",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "runs/a"),
            1,
            "runs/a: Read-only file system; make it writable or choose another folder (paths.*; of",
        ),
        (
            OSError(errno.ENOENT, "No such file or directory", "my.csv"),
            1,
            "my.csv: No such file or directory; check the path\n",
        ),
        (Preempted("runs/a is saved at step 3 of 9"), 75, "preempted; runs/a is saved at step 3"),
        (Stopped("runs/a is saved at step 3 of 9"), 130, "stopped; runs/a is saved at step 3 of 9"),
        (KeyboardInterrupt(), 130, "stopped; everything finished is kept"),
    ],
)
def test_a_failure_is_one_line_and_a_status(
    error: BaseException, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert exit_status(fail) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"meld-lightning: {message}")
    assert len(printed.err.splitlines()) == 1


def test_work_that_ends_well_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(lambda: None) == 0
    assert capsys.readouterr() == ("", "")


def test_an_error_of_ours_keeps_its_traceback() -> None:
    def fail() -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")  # names no file that a user could mend

    with pytest.raises(OSError, match="Bad file descriptor"):
        exit_status(fail)


@pytest.mark.slow
def test_a_closed_pipe_ends_a_command_without_a_traceback() -> None:
    """As in `meld-lightning train --help | head -1`."""
    with subprocess.Popen(
        argv("train", "--help"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate()
    assert (process.returncode, errors) == (141, b"")

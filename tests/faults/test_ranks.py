"""A run of two processes whose first finds the disk full ends with one line, and resumes."""

import sys
from pathlib import Path

import pytest

from tests.faults.study import COMMANDS, write_inputs
from tests.finished import only_run
from tests.running import argv, run, run_well

# for the command and the ranks that it forks: the disk is full for rank 0, where it waits for a
# file whose path has these words
FULL_DISK = """
import errno, os, sys
from meld_lightning.commands.cli import main
fsync = os.fsync

def full(number):
    path = os.readlink(f"/proc/self/fd/{number}")
    if os.environ.get("RANK") == "0" and os.environ["FULL"] in path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    fsync(number)

os.fsync = full
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("/checkpoints/", marks=pytest.mark.slow),  # rank 1 is in a collective
        pytest.param(
            "/cache/tokens/", marks=pytest.mark.long
        ),  # rank 1 waits for rank 0 to connect
    ],
)
def test_a_full_disk_on_one_of_two_ranks(words: str, tmp_path: Path) -> None:
    given, work = tmp_path / "given", tmp_path / "work"
    given.mkdir()
    work.mkdir()
    write_inputs(given)
    run_well(argv(*COMMANDS["prepare"](given, work)), work)
    asked = [*COMMANDS["train text"](given, work), "numerics.world_size=2"]
    done = run([sys.executable, "-c", FULL_DISK, *asked], work, FULL=words)
    assert done.returncode == 1, done.stderr
    [line] = [one for one in done.stderr.splitlines() if one.startswith("meld-lightning: ")]
    assert "No space left on device; free some space and run the command again" in line
    assert words in line
    assert "Traceback" not in done.stderr
    assert not list(work.glob("runs/*/*/result.json"))
    run_well(argv(*asked), work)
    assert (only_run(work) / "checkpoints" / "best.ckpt").is_file()

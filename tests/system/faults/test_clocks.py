"""Clocks that are wrong: files of another day, and time that runs backwards."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.finished import assert_same_run, only_run
from tests.running import argv, folder_over, run, start_and_kill
from tests.system.faults.conftest import (
    PREPARE,
    TRAIN,
    stamps,
)


@pytest.mark.slow
def test_files_of_another_day_are_the_same_files(calm: Path, tmp_path: Path) -> None:
    shutil.copytree(calm / "cache", tmp_path / "cache")
    commands = PREPARE, argv(*TRAIN)
    for command in commands:
        assert run(command, tmp_path).returncode == 0
    for days in (1, -1):
        when = time.time() + days * 86400
        for path in stamps(tmp_path):
            os.utime(path, (when, when))
        before = stamps(tmp_path)
        for command in commands:
            done = run(command, tmp_path)
            assert done.returncode == 0, done.stderr
        assert stamps(tmp_path) == before


# a clock that is wrong from the command's first moment on
BACKWARDS = """
import sys, time
from meld_lightning.commands.cli import main
now = time.time
began = now() - 86400
time.time = lambda: 2 * began - now()
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_run_resumed_under_a_clock_that_runs_backwards(
    finished: Path, prepared: Path, tmp_path: Path
) -> None:
    folder, began = folder_over(prepared, tmp_path), time.monotonic()
    asked = [*TRAIN, "machine.checkpoint_every_s=0.1"]
    start_and_kill(asked, folder, 0.0, signal.SIGKILL)
    done = run([sys.executable, "-c", BACKWARDS, *asked], folder)
    assert done.returncode == 0, done.stderr
    assert "resuming from its last checkpoint" in done.stdout
    assert (
        0
        < json.loads((only_run(folder) / "result.json").read_text())["wall_s"]
        < time.monotonic() - began
    )
    assert_same_run(only_run(folder), finished)

"""Clocks that are wrong: files of another day, and time that runs backwards."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.finished import assert_same_run, only_run
from tests.running import argv, environment, folder_over
from tests.system.faults.conftest import (
    PREPARE,
    TRAIN,
    run,
    stamps,
    start,
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


BACKWARDS = """
import time
now = time.time
began = now() - 86400
time.time = lambda: 2 * began - now()
"""


@pytest.mark.slow
def test_a_run_resumed_under_a_clock_that_runs_backwards(
    finished: Path, prepared: Path, tmp_path: Path
) -> None:
    folder, began = folder_over(prepared, tmp_path), time.monotonic()
    first = start(argv(*TRAIN, "machine.checkpoint_every_s=0.1"), folder, stdout=subprocess.DEVNULL)
    while not list(folder.glob("runs/*/*/checkpoints/last.ckpt")):
        assert first.poll() is None, "ended before it could be killed"
        time.sleep(0.01)
    first.kill()
    first.wait()
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(BACKWARDS)
    asked = argv(*TRAIN, "machine.checkpoint_every_s=0.1")
    done = run(asked, folder, PYTHONPATH=f"{tmp_path / 'clock'}:{environment()['PYTHONPATH']}")
    assert done.returncode == 0, done.stderr
    assert "going on from its last checkpoint" in done.stdout
    assert (
        0
        < json.loads((only_run(folder) / "result.json").read_text())["wall_s"]
        < time.monotonic() - began
    )
    assert_same_run(only_run(folder), finished)

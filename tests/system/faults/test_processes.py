"""Processes that are killed, wait for each other, or ask for the same thing at once."""

import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.finished import assert_same_run, only_run
from tests.running import HANGS_S, argv, folder_over, run, start, until
from tests.system.faults.conftest import (
    PREPARE,
    TRAIN,
    read_back,
    stamps,
    temporaries,
)


@pytest.mark.slow
def test_four_that_prepare_at_once_make_everything_once(calm: Path, tmp_path: Path) -> None:
    four = [start(PREPARE, tmp_path) for _ in range(4)]
    seen: dict[Path, set[int]] = {}
    while any(process.poll() is None for process in four):
        for pattern in (
            "mini/mini.json",
            "corpus/*/manifest.json",
            "media/*/*/manifest.json",
            "checkpoints/*.json",
            "checkpoints/*/config.json",
        ):
            for path in (tmp_path / "cache").glob(pattern):
                if path.parent.name.endswith(".tmp"):
                    continue
                with suppress(FileNotFoundError):
                    seen.setdefault(path, set()).add(path.stat().st_ino)
        time.sleep(0.01)
    assert [(process.wait(HANGS_S), process.stderr) for process in four] == [(0, "")] * 4
    assert len(seen) == 1 + 1 + 20 + 5 + 4
    assert [path for path, files in seen.items() if len(files) > 1] == []
    assert temporaries(tmp_path) == []
    assert read_back(tmp_path) == read_back(calm)


@pytest.mark.slow
def test_of_four_that_ask_for_the_run_of_a_killed_process_one_goes_on(
    finished: Path, prepared: Path, tmp_path: Path
) -> None:
    folder = folder_over(prepared, tmp_path)
    first = start(argv(*TRAIN, "machine.checkpoint_every_s=0.1"), folder)
    until(lambda: list(folder.glob("runs/*/*/checkpoints/last.ckpt")), first, "it is saved")
    first.send_signal(signal.SIGSTOP)
    [run_folder] = [path for path in folder.glob("runs/*/*") if path.is_dir()]
    left = run_folder / "checkpoints" / ".last.ckpt.0123abcd.tmp"
    left.write_bytes(b"half")
    four = [start(argv(*TRAIN), folder) for _ in range(4)]

    def all_wait() -> bool:
        return all("another process is running it; waiting" in one.stdout for one in four)

    until(all_wait, four[-1], "all wait")
    first.kill()
    assert [process.wait(HANGS_S) for process in four] == [0] * 4
    assert not left.exists(), "the next one begins with what the dead one left"
    said = [process.stdout for process in four]
    assert sum("resuming from its last checkpoint" in text for text in said) == 1
    assert len({text.splitlines()[-1] for text in said}) == 1
    assert_same_run(only_run(folder), finished)


@pytest.mark.slow
def test_a_prepare_that_is_killed_again_and_again_matches_an_uninterrupted_one(
    calm: Path, tmp_path: Path
) -> None:
    whole, least = read_back(calm), 0
    for _ in range(3):
        done = len(stamps(tmp_path))
        process = start(PREPARE, tmp_path)
        while len(stamps(tmp_path)) <= done + 20 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 1))
        process.kill()
        least += process.wait(HANGS_S) == -signal.SIGKILL
        assert read_back(tmp_path).items() <= whole.items(), (
            "something half-written is taken for whole"
        )
    assert least >= 2, "it was never killed: the test says nothing"
    last = run(PREPARE, tmp_path)
    assert last.returncode == 0, last.stderr
    assert read_back(tmp_path) == whole
    assert temporaries(tmp_path) == []

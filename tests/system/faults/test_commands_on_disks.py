"""Commands over full and read-only disks say so in one line, and succeed once there is room."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.finished import assert_same_run, only_run
from tests.running import argv, folder_over, run, start_and_kill
from tests.system.faults.conftest import (
    PREPARE,
    TRAIN,
    Disk,
    assert_one_line,
    read_back,
    temporaries,
)


@pytest.mark.slow
def test_prepare_checks_a_read_only_cache(
    prepared: Path, tmp_path: Path, disk: Callable[[Path, str], Disk]
) -> None:
    cache = disk(tmp_path / "cache", "64m")
    shutil.copytree(prepared / "cache", cache.folder, dirs_exist_ok=True)
    writable = run(argv("prepare", "checkpoints.clip=null"), tmp_path)
    assert writable.returncode == 0, writable.stderr
    cache.remount("ro")
    read = run(argv("prepare", "checkpoints.clip=null"), tmp_path)
    assert (read.returncode, read.stdout) == (0, writable.stdout), read.stderr
    refused = run(argv("prepare", "checkpoints.clip=null", "media.size=32"), tmp_path)
    assert_one_line(
        refused, "cache/media", "Read-only file system; make it writable or choose another folder"
    )


@pytest.mark.slow
def test_train_over_a_read_only_cache_and_runs(
    finished: Path, prepared: Path, tmp_path: Path, disk: Callable[[Path, str], Disk]
) -> None:
    cache = disk(tmp_path / "cache", "64m")
    shutil.copytree(
        prepared / "cache",
        cache.folder,
        ignore=shutil.ignore_patterns("tokens"),
        dirs_exist_ok=True,
    )
    assert (
        run(argv("prepare", "checkpoints.clip=null"), tmp_path).returncode == 0
    )  # where a corpus lies is noted
    runs = disk(tmp_path / "runs", "64m")
    cache.remount("ro")
    done = run(argv(*TRAIN), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "cache/tokens: Read-only file system; its arrays are computed for this run alone"
        in done.stdout
    )
    assert_same_run(only_run(tmp_path), finished)
    runs.remount("ro")
    again = run(argv(*TRAIN), tmp_path)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, done.stdout.splitlines()[-1])
    assert_one_line(
        run(argv(*TRAIN, "seed=2"), tmp_path),
        "runs/.locks",
        "Read-only file system; make it writ",
    )


@pytest.mark.slow
def test_a_run_outlives_a_disk_that_fills_up_again_and_again(
    finished: Path, prepared: Path, tmp_path: Path, disk: Callable[[Path, str], Disk]
) -> None:
    folder, runs = folder_over(prepared, tmp_path), disk(tmp_path / "runs", "8m")

    def refused(*said: str) -> None:
        assert_one_line(
            run(argv(*TRAIN), folder),
            *said,
            "No space left on device; free some space and run the command again",
        )
        assert temporaries(runs.folder) == []
        assert not list(folder.glob("runs/*/*/result.json"))

    refused("checkpoints/last.ckpt")
    runs.remount("size=40m")
    start_and_kill(TRAIN, folder, 0.0, signal.SIGKILL)  # fitted and saved, not yet scored
    fitted = next(folder.glob("runs/*/*/metrics.csv")).stat().st_mtime_ns
    runs.fill(4096)  # for config.yaml, which is written again
    refused("logits/train.parquet")
    runs.filler.unlink()
    done = run(argv(*TRAIN), folder)
    assert done.returncode == 0, done.stderr
    assert next(folder.glob("runs/*/*/metrics.csv")).stat().st_mtime_ns == fitted
    assert_same_run(only_run(folder), finished)


@pytest.mark.slow
def test_prepare_outlives_a_disk_that_fills_up_again_and_again(
    calm: Path, tmp_path: Path, disk: Callable[[Path, str], Disk]
) -> None:
    cache = disk(tmp_path / "cache", "1m")
    for size, named in (
        ("1m", "cache/mini"),
        ("8m", "cache/media/mini"),
        ("30m", "cache/checkpoints/mini"),
    ):
        cache.remount(f"size={size}")
        assert_one_line(
            run(PREPARE, tmp_path),
            named,
            "No space left on device; free some space and run the command again",
        )
        assert temporaries(cache.folder) == []
        assert read_back(tmp_path).items() <= read_back(calm).items()
    cache.remount("size=64m")
    done = run(PREPARE, tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_back(tmp_path) == read_back(calm)

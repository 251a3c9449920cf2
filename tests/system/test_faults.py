"""What a user relies on when the machine fails: a disk that is full or read-only, killed writers, a
wrong clock.

The full and read-only disks are real ones, small and mounted here, which takes root.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir

from meld_lightning import load_run
from meld_lightning.config.check import plain
from meld_lightning.corpus import prepare_corpus, prepared_corpus
from meld_lightning.errors import UserError
from meld_lightning.media import prepare_media, prepared_media
from meld_lightning.mini import clips as mini_clips
from meld_lightning.mini.checkpoints import MiniSources
from meld_lightning.mini.flaws import Plan
from meld_lightning.pretrained.checkpoints import prepare_checkpoint, prepared_checkpoint
from meld_lightning.runs.logits import write_logits
from meld_lightning.storage.arrays import cached_arrays
from tests.running import CHECKOUT, argv, environment, folder_over

TRAIN = ["train", "model=roberta", "optimizer.lr=1e-3", "data.batch_size=16", "epochs=1"]
FEW_CLIPS = """
import sys
from meld_lightning import commands
from meld_lightning.mini import clips as mini_clips
from meld_lightning.mini.checkpoints import clip
write, clip.STEPS = mini_clips.write_clips, 10
mini_clips.write_clips = lambda root, plans, stubs: write(root, plans[::32], stubs)
sys.exit(commands.main(sys.argv[1:]))
"""
PREPARE = [
    sys.executable,
    "-c",
    FEW_CLIPS,
    "prepare",
]  # the mini corpus with every 32nd of its clips: in seconds


class Disk:
    """A small file system."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.filler = folder, folder / "filler"

    def remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.folder)], check=True)

    def fill(self, leave: int = 0) -> None:
        """Leaves that many bytes (whole pages of 4096) free."""
        self.filler.unlink(missing_ok=True)
        free = os.statvfs(self.folder)
        with self.filler.open("wb") as file:
            file.write(bytes(free.f_bavail * free.f_bsize - leave // 4096 * 4096))
        assert os.statvfs(self.folder).f_bavail == leave // 4096


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[Path, str], Disk]]:
    """Mounts a disk of a size at a folder, which is made."""
    if os.geteuid() != 0:
        pytest.skip("a small disk of its own can only be mounted by root")
    mounted: list[Path] = []

    def mount(folder: Path, size: str) -> Disk:
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(
                f"no disk can be mounted here, as in many containers: {done.stderr.strip()}"
            )
        mounted.append(folder)
        return Disk(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def run(command: Sequence[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**environment(), **more}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=240, check=False
    )


def start(command: Sequence[str], folder: Path, **popen: Any) -> "subprocess.Popen[str]":
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **popen}
    return subprocess.Popen(command, cwd=folder, env=environment(), **pipes)


def assert_one_line(done: subprocess.CompletedProcess[str], *said: str) -> None:
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert [words for words in said if words not in done.stderr] == [], done.stderr


def temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if ".tmp" in path.name]


def only_run(folder: Path) -> Path:
    [result] = folder.glob("runs/*/*/result.json")
    return result.parent


def assert_same_run(one: Path, other: Path) -> None:
    assert one.name == other.name
    for name in ("best", "last"):
        states = [
            torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]
            for run in (one, other)
        ]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0]), name
    for split in ("train", "val", "test"):
        pd.testing.assert_frame_equal(
            load_run(one).logits(split), load_run(other).logits(split), check_exact=True
        )


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """Which file, and of when, each one is."""
    found = {}
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names if not name.endswith(".lock")):
            with suppress(FileNotFoundError):  # others may be at work
                found[path] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def read_back(folder: Path) -> dict[str, str]:
    """The digests of what the readers of a cache take for whole, clips to the last sample."""
    cache, found = folder / "cache", {}
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        cfg = compose("prepare", [f"paths.cache='{cache}'"])
    with suppress(UserError):
        corpus = prepared_corpus(cfg.corpus, cache)
        found["corpus"] = corpus.digest
        media = prepared_media(corpus.table, corpus.name, plain(cfg.media), cache)
        found["media"] = media.digest("all")
        arrays = (
            array
            for row in range(len(media.entries))
            for array in (media.frames(row), media.waveform(row))
        )
        found["clips"] = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    for name in cfg.checkpoints.values():
        with suppress(UserError):
            found[name] = prepared_checkpoint(name, cache).digest
    return found


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared with few clips, undisturbed."""
    folder = tmp_path_factory.mktemp("calm")
    done = run(PREPARE, folder)
    assert done.returncode == 0, done.stderr
    assert len(read_back(folder)) == 8
    return folder


@pytest.fixture(scope="module")
def finished(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run, undisturbed."""
    folder = folder_over(prepared, tmp_path_factory.mktemp("finished"))
    done = run(argv(*TRAIN), folder)
    assert done.returncode == 0, done.stderr
    return only_run(folder)


def make_arrays(cache: Path, at: Path) -> str:
    made = cached_arrays(cache / "tokens", {"of": "test"}, lambda: {"ids": np.arange(200_000)})
    return hashlib.sha256(made["ids"].tobytes()).hexdigest()


def make_clips(cache: Path, at: Path) -> str:
    if not (at / "clips").is_dir():
        plans = [Plan(f"{name}.mp4", "joy", "joy", 1.0, name) for name in "ab"]
        mini_clips.write_clips(at / "clips", plans, [])
    clips = sorted(str(path) for path in (at / "clips").rglob("*.mp4"))
    table = pd.DataFrame(
        {"key": ["a", "b"], "clip": clips, "audio": None, "split": "train"}, dtype=object
    )
    settings = {
        "keep": ["frames", "audio"],
        "every": 2,
        "size": 224,
        "rate": 16000,
        "channels": "center",
        "decoder": "pyav",
        "timeout_s": 20,
    }
    return prepare_media(table, "mine", settings, cache, processes=2).digest("all")


def make_corpus(cache: Path, at: Path) -> str:
    rows = [f"u{n},{hashlib.sha256(str(n).encode()).hexdigest() * 4},joy,d{n}" for n in range(2000)]
    (at / "mine.csv").write_text("\n".join(["id,text,emotion,dialogue", *rows]))
    settings = {
        "name": "mine",
        "layout": "manifest",
        "root": str(at / "mine.csv"),
        "split": "dialogue",
    }
    return prepare_corpus(settings, cache).digest


def make_checkpoint(cache: Path, at: Path) -> str:
    table = pd.DataFrame({"text": ["So, here we are.", "Oh no!"], "split": "train"})
    return prepare_checkpoint(
        "mini:roberta", cache, MiniSources(table, lambda: pytest.fail("no clip"))
    ).digest


def make_logits(cache: Path, at: Path) -> str:
    n = 5000
    table = pd.DataFrame(
        {"key": [f"u{k}" for k in range(n)], "label": 0, "unit": "d", "present": True}
    )
    path = cache / "logits" / "val.parquet"
    write_logits(path, table, np.random.default_rng(0).normal(size=(n, 7)), [*"abcdefg"])
    return hashlib.sha256(path.read_bytes()).hexdigest()


MAKERS = [make_arrays, make_clips, make_corpus, make_checkpoint, make_logits]


@pytest.mark.parametrize(
    ("make", "leave"),
    [*((make, leave) for make in MAKERS for leave in (0, 40960)), (make_checkpoint, 1 << 20)],
)
def test_what_a_full_disk_stops_is_told_and_made_once_there_is_room(
    make: Callable[[Path, Path], str], leave: int, tmp_path: Path, disk: Callable[[Path, str], Disk]
) -> None:
    expected, small = make(tmp_path / "calm", tmp_path), disk(tmp_path / "small", "32m")
    small.fill(leave)
    with pytest.raises((UserError, OSError), match="No space left on device") as told:
        make(small.folder, tmp_path)
    if isinstance(
        told.value, UserError
    ):  # else an OSError that names its file: the command line adds the remedy
        assert "make room" in str(told.value)
        assert "\n" not in str(told.value)
    assert str(small.folder) in str(told.value)
    assert temporaries(small.folder) == []
    small.filler.unlink()
    assert make(small.folder, tmp_path) == expected


@pytest.mark.parametrize("make", MAKERS[:-1])
def test_what_is_made_is_read_from_a_read_only_disk(
    make: Callable[[Path, Path], str], tmp_path: Path, disk: Callable[[Path, str], Disk]
) -> None:
    small = disk(tmp_path / "small", "32m")
    made = make(small.folder, tmp_path)
    for lock in small.folder.rglob("*.lock"):  # as where the cache was copied without them
        lock.unlink()
    small.remount("ro")
    assert make(small.folder, tmp_path) == made


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
        refused, "cache/media", "Read-only file system; make it writable or choose other paths.*"
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
        "cache/tokens: Read-only file system; what it would keep is made for this run alone"
        in done.stdout
    )
    assert_same_run(only_run(tmp_path), finished)
    runs.remount("ro")
    again = run(argv(*TRAIN), tmp_path)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, done.stdout.splitlines()[-1])
    assert_one_line(
        run(argv(*TRAIN, "seed=2"), tmp_path),
        "runs/text-roberta",
        "Read-only file system; make it writ",
    )


@pytest.mark.slow
def test_a_run_outlives_a_disk_that_fills_up_again_and_again(
    finished: Path, prepared: Path, tmp_path: Path, disk: Callable[[Path, str], Disk]
) -> None:
    folder, runs = folder_over(prepared, tmp_path), disk(tmp_path / "runs", "8m")

    def refused(*said: str) -> None:
        assert_one_line(
            run(argv(*TRAIN), folder), *said, "No space left on device; make room and run it again"
        )
        assert temporaries(runs.folder) == []
        assert not list(folder.glob("runs/*/*/result.json"))

    refused("checkpoints/last.ckpt")
    runs.remount("size=17m")
    refused("checkpoints/last.ckpt")  # at the end, the small one that a finished run keeps
    fitted = next(folder.glob("runs/*/*/metrics.csv")).stat().st_mtime_ns
    runs.remount("size=40m")
    runs.fill(4096)  # for config.yaml, which is written again
    refused("logits/train.parquet")
    runs.fill(-(-(finished / "checkpoints" / "last.ckpt").stat().st_size // 4096) * 4096)
    refused("result.json")
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
            run(PREPARE, tmp_path), named, "No space left on device; make room and run it again"
        )
        assert temporaries(cache.folder) == []
        assert read_back(tmp_path).items() <= read_back(calm).items()
    cache.remount("size=64m")
    done = run(PREPARE, tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_back(tmp_path) == read_back(calm)


@pytest.mark.slow
def test_eight_that_prepare_at_once_make_everything_once(calm: Path, tmp_path: Path) -> None:
    eight = [
        start(PREPARE, tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(8)
    ]
    seen: dict[Path, set[int]] = {}
    while any(process.poll() is None for process in eight):
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
    assert [(process.returncode, process.communicate()[1]) for process in eight] == [(0, "")] * 8
    assert len(seen) == 1 + 1 + 20 + 5 + 4
    assert [path for path, files in seen.items() if len(files) > 1] == []
    assert temporaries(tmp_path) == []
    assert read_back(tmp_path) == read_back(calm)


@pytest.mark.slow
def test_of_eight_that_ask_for_the_run_of_a_killed_process_one_goes_on(
    finished: Path, prepared: Path, tmp_path: Path
) -> None:
    folder = folder_over(prepared, tmp_path)
    first = start(argv(*TRAIN, "machine.checkpoint_every_s=0.1"), folder, stdout=subprocess.DEVNULL)
    while not list(folder.glob("runs/*/*/checkpoints/last.ckpt")):
        assert first.poll() is None, "ended before it could be held"
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)
    [run_folder] = [path for path in folder.glob("runs/*/*") if path.is_dir()]
    left = run_folder / "checkpoints" / ".last.ckpt.0123abcd.tmp"
    left.write_bytes(b"half")
    logs = [tmp_path / f"{n}.log" for n in range(8)]
    eight = [start(argv(*TRAIN), folder, stdout=log.open("w")) for log in logs]
    deadline = time.monotonic() + 120
    while not all("another process is running it; waiting" in log.read_text() for log in logs):
        assert time.monotonic() < deadline, [log.read_text() for log in logs]
        time.sleep(0.05)
    first.kill()
    killed_at = time.monotonic()
    while left.exists():  # the next one begins with what the dead one left
        assert time.monotonic() - killed_at < 5, "nobody took over"
        time.sleep(0.01)
    assert [process.wait(120) for process in eight] == [0] * 8
    said = [log.read_text() for log in logs]
    assert sum("going on from its last checkpoint" in text for text in said) == 1
    assert len({text.splitlines()[-1] for text in said}) == 1
    assert_same_run(only_run(folder), finished)


@pytest.mark.slow
def test_a_prepare_that_is_killed_again_and_again_ends_as_a_calm_one(
    calm: Path, tmp_path: Path
) -> None:
    whole, least = read_back(calm), 0
    for _ in range(5):
        done = len(stamps(tmp_path))
        process = start(PREPARE, tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(stamps(tmp_path)) <= done + 20 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 2))
        process.kill()
        least += process.wait() == -signal.SIGKILL
        assert read_back(tmp_path).items() <= whole.items(), (
            "something half-written is taken for whole"
        )
    assert least >= 2, "it was never killed: the test says nothing"
    last = run(PREPARE, tmp_path)
    assert last.returncode == 0, last.stderr
    assert read_back(tmp_path) == whole
    assert temporaries(tmp_path) == []


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
        0.1
        < json.loads((only_run(folder) / "result.json").read_text())["wall_s"]
        < time.monotonic() - began
    )
    assert_same_run(only_run(folder), finished)

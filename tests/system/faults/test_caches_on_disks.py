"""Caches and logits on a full or a read-only disk.

The disks are real ones, small and mounted here, which takes root.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meld_lightning.corpus import prepare_corpus
from meld_lightning.errors import UserError
from meld_lightning.media import prepare_media
from meld_lightning.mini import clips as mini_clips
from meld_lightning.mini.checkpoints import MiniSources, recipe
from meld_lightning.mini.flaws import Plan
from meld_lightning.pretrained.checkpoints import prepare_checkpoint
from meld_lightning.runs.logits import write_logits
from meld_lightning.storage.arrays import cached_arrays
from tests.system.faults.conftest import (
    Disk,
    temporaries,
)


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
    made = recipe("mini:roberta", MiniSources(table, lambda: pytest.fail("no clip")))
    return prepare_checkpoint("mini:roberta", cache, made).digest


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
    [
        *((make, 40960) for make in MAKERS if make is not make_clips),
        (make_arrays, 0),
        (make_checkpoint, 1 << 20),
        pytest.param(make_clips, 40960, marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_reported_and_the_retry_succeeds(
    make: Callable[[Path, Path], str], leave: int, tmp_path: Path, disk: Callable[[Path, str], Disk]
) -> None:
    expected, small = make(tmp_path / "calm", tmp_path), disk(tmp_path / "small", "32m")
    small.fill(leave)
    with pytest.raises((UserError, OSError), match="No space left on device") as told:
        make(small.folder, tmp_path)
    if isinstance(
        told.value, UserError
    ):  # else an OSError that names its file: the command line adds the remedy
        assert "free some space" in str(told.value)
        assert "\n" not in str(told.value)
    assert str(small.folder) in str(told.value)
    assert temporaries(small.folder) == []
    small.filler.unlink()
    assert make(small.folder, tmp_path) == expected


@pytest.mark.parametrize(
    "make",
    [make_arrays, make_corpus, make_checkpoint, pytest.param(make_clips, marks=pytest.mark.slow)],
)
def test_what_is_made_is_read_from_a_read_only_disk(
    make: Callable[[Path, Path], str], tmp_path: Path, disk: Callable[[Path, str], Disk]
) -> None:
    small = disk(tmp_path / "small", "32m")
    made = make(small.folder, tmp_path)
    for lock in small.folder.rglob("*.lock"):  # as where the cache was copied without them
        lock.unlink()
    small.remount("ro")
    assert make(small.folder, tmp_path) == made

"""The cache of decoded clips: repaired where damaged, shared, and no clip affects another."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.media import (
    Media,
    media_report,
    prepare_media,
    prepared_media,
    read_frames,
    read_waveform,
    store,
)
from tests.media.conftest import encode_clip
from tests.repeats import few
from tests.running import HANGS_S, environment

SETTINGS: dict[str, Any] = {
    "keep": ["frames", "audio"],
    "every": 10,
    "size": 32,
    "rate": 16000,
    "channels": "center",
    "decoder": "pyav",
    "timeout_s": 20,
    "processes": 1,  # each costs the start of an interpreter
}
CLIPS = 5


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five clips."""
    folder = tmp_path_factory.mktemp("encoded")
    paths = [folder / f"c{n}.mp4" for n in range(CLIPS)]
    for n, path in enumerate(paths):
        encode_clip(path, frames=20 + n, seed=n, shape=(48, 64))
    return paths


@pytest.fixture(scope="module", autouse=True)
def small_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "CHUNK", 2)
        yield


def table_of(clips: Sequence[Path], folder: Path) -> pd.DataFrame:
    """Five rows with copies of the clips and one without, which makes three chunks."""
    places: list[str | None] = [str(shutil.copy(clip, folder)) for clip in clips]
    keys = [f"test/dia0_utt{n}" for n in range(CLIPS + 1)]
    return pd.DataFrame(
        {"key": keys, "clip": [*places, None], "audio": [None] * 6, "split": "test"}, dtype=object
    )


@pytest.fixture
def table(encoded: list[Path], tmp_path: Path) -> pd.DataFrame:
    return table_of(encoded, tmp_path)


@pytest.fixture(scope="module")
def stored(encoded: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of these clips, as it is written."""
    folder = tmp_path_factory.mktemp("stored")
    prepare_media(table_of(encoded, folder), "mine", SETTINGS, folder / "cache")
    return folder / "cache"


@pytest.fixture
def media(stored: Path, table: pd.DataFrame, tmp_path: Path) -> Media:
    """A copy of the cache, below `cache` in the test's folder."""
    shutil.copytree(stored, tmp_path / "cache")
    return prepared_media(table, "mine", SETTINGS, tmp_path / "cache")


def contents(media: Media) -> list[tuple[bytes, bytes]]:
    return [
        (media.frames(row).tobytes(), media.waveform(row).tobytes()) for row in range(CLIPS + 1)
    ]


def test_what_is_stored_is_what_is_decoded(table: pd.DataFrame, media: Media) -> None:
    for row, clip in enumerate(table["clip"].dropna()):
        assert np.array_equal(media.frames(row), read_frames(clip, size=32))
        assert np.array_equal(media.waveform(row), read_waveform(clip))
        assert media.frame_counts[row] == len(media.frames(row)) == (2 if row == 0 else 3)
        assert media.samples[row] == len(media.waveform(row))
    assert (media.frame_counts[CLIPS], media.samples[CLIPS]) == (0, 0)
    assert media.frames(CLIPS).shape == (0, 32, 32, 3)
    assert media.reasons == {kind: {"test/dia0_utt5": "no file"} for kind in ("frames", "audio")}
    report = media_report(media, table)
    assert report["counts"] == {"frames": {"test": 5}, "audio": {"test": 5}}
    assert [row["key"] for row in report["rows"]] == ["test/dia0_utt5"] * 2


@pytest.mark.slow
def test_settings_and_moved_clips(table: pd.DataFrame, media: Media, tmp_path: Path) -> None:
    moved = table.copy()
    places = [
        str(shutil.copy(clip, tmp_path / f"moved{row}.mp4"))
        for row, clip in enumerate(table["clip"][:CLIPS])
    ]
    moved["clip"] = pd.Series([*places, None], dtype=object)
    written = {path: path.stat().st_mtime_ns for path in media.folder.rglob("*.npy")}
    again = prepare_media(moved, "mine", SETTINGS, tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in media.folder.rglob("*.npy")} == written
    assert again.digest("frames") == media.digest("frames")
    other = prepare_media(table, "mine", {**SETTINGS, "every": 5}, tmp_path / "cache")
    assert other.digest("frames") != media.digest("frames")
    assert len(other.frames(0)) == 4
    with pytest.raises(NotPrepared, match="meld-lightning prepare"):
        prepared_media(table, "mine", {**SETTINGS, "size": 16}, tmp_path / "cache")


@pytest.mark.parametrize(
    "damage", few([{1: "delete", 2: "truncate"}, {1: "garbage", 4: "another clip"}], 1)
)
def test_a_damaged_clip_affects_no_other(
    damage: dict[int, str], table: pd.DataFrame, media: Media, tmp_path: Path
) -> None:
    before = contents(media)
    other = Path(table["clip"][3]).read_bytes()
    for row, how in damage.items():
        clip = Path(table["clip"][row])
        half = clip.read_bytes()[: clip.stat().st_size // 2]
        clip.write_bytes({"truncate": half, "garbage": b"no clip"}.get(how, other))
        if how == "delete":
            clip.unlink()
    with pytest.raises(UserError, match="c1.mp4.*run: meld-lightning prepare"):
        prepared_media(table, "mine", SETTINGS, tmp_path / "cache")
    media = prepare_media(table, "mine", SETTINGS, tmp_path / "cache")
    after = contents(media)
    assert [row for row in range(CLIPS + 1) if after[row] != before[row]] == list(damage)
    for row, how in damage.items():
        missing = f"test/dia0_utt{row}" in media.reasons["frames"]
        assert missing is (how != "another clip")


@pytest.mark.slow
@pytest.mark.parametrize("damage", few(["flip", "manifest", "delete", "truncate", "folder"], 2))
def test_a_damaged_cache_is_noticed_and_repaired(
    damage: str, table: pd.DataFrame, media: Media, tmp_path: Path
) -> None:
    before = contents(media)
    array = media.folder / "0" / "frames.npy"
    if damage == "delete":
        array.unlink()
    elif damage == "truncate":
        array.write_bytes(array.read_bytes()[:-5000])
    elif damage == "flip":
        data = bytearray(array.read_bytes())
        data[-1] ^= 1
        array.write_bytes(bytes(data))
    elif damage == "manifest":
        (media.folder / "0" / "manifest.json").write_text("[")
    else:
        shutil.rmtree(media.folder / "0")
    with pytest.raises(UserError, match="meld-lightning prepare"):
        contents(prepared_media(table, "mine", SETTINGS, tmp_path / "cache"))
    assert contents(prepare_media(table, "mine", SETTINGS, tmp_path / "cache")) == before


@pytest.fixture
def odd_worker(tmp_path: Path) -> Callable[[str], list[str]]:
    """A worker that decodes as ours does, but for one clip, at which it does what it is reasons."""

    def command(what: str) -> list[str]:
        path = tmp_path / "odd_worker.py"
        path.write_text(
            textwrap.dedent(f"""
                import os, time
                from meld_lightning.media import worker
                decode = worker.decode
                def odd(job):
                    if "c3.mp4" in job["sources"].get("frames", ""):
                        {what}
                    return decode(job)
                worker.decode = odd
                worker.main()
                """)
        )
        return [sys.executable, str(path)]

    return command


CRASH = ("os.kill(os.getpid(), 11)", "crashed the decoder (SIGSEGV)")
HANG = ("time.sleep(999)", "not decoded within 8 s")


@pytest.mark.parametrize(("what", "reason"), few([CRASH, HANG], 1))
def test_a_decoder_that_crashes_or_hangs_affects_no_other_clip(
    what: str,
    reason: str,
    table: pd.DataFrame,
    media: Media,
    tmp_path: Path,
    odd_worker: Callable[[str], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    expected = contents(media)
    settings = {**SETTINGS, "timeout_s": 8}
    media = prepare_media(
        table, "mine", settings, tmp_path / "odd", processes=2, worker=odd_worker(what)
    )
    found = contents(media)
    assert [row for row in range(CLIPS + 1) if found[row] != expected[row]] == [3]
    assert media.reasons["frames"]["test/dia0_utt3"].startswith(reason)
    assert media.reasons["audio"]["test/dia0_utt3"].startswith(reason)
    mended = prepare_media(table, "mine", {**settings, "timeout_s": 20}, tmp_path / "odd")
    assert contents(mended) == expected


PREPARE = """
import sys, json, time, pandas as pd
from pathlib import Path
from meld_lightning.media import prepare_media, store
store.CHUNK, limit, write = 2, int(sys.argv[5]), store.write_chunk
def noted(target, *rest):
    global limit
    if not limit:
        time.sleep(999)
    write(target, *rest)
    limit -= 1
    print(target.name, flush=True)
store.write_chunk = noted
table, settings = pd.read_json(sys.argv[1]).astype(object), json.loads(sys.argv[2])
table = table.where(table.notna(), None)
media = prepare_media(table, "mine", settings, Path(sys.argv[3]), int(sys.argv[4]))
print(media.digest("all"))
"""


def start(
    table: pd.DataFrame, folder: Path, shard: int, chunks: int = -1
) -> "subprocess.Popen[str]":
    """A process that prints each chunk it has written, and at last the digest of all; it stops
    before it writes more than `chunks`, unless that is negative."""
    table.to_json(folder / "table.json")
    arguments = [
        str(folder / "table.json"),
        json.dumps(SETTINGS),
        str(folder / "cache"),
        str(shard),
        str(chunks),
    ]
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_shards_share_the_work(table: pd.DataFrame, tmp_path: Path) -> None:
    shards = [start(table, tmp_path, shard) for shard in range(3)]
    said = [shard.communicate(timeout=HANGS_S)[0].split() for shard in shards]
    assert [shard.returncode for shard in shards] == [0, 0, 0]
    assert sorted(itertools.chain(*(chunks for *chunks, _ in said))) == ["0", "1", "2"]
    assert {digest for *_, digest in said} == {
        prepare_media(table, "mine", SETTINGS, tmp_path / "alone").digest("all")
    }


@pytest.mark.slow
def test_the_work_of_a_killed_process_is_continued(
    table: pd.DataFrame, stored: Path, tmp_path: Path
) -> None:
    first = start(table, tmp_path, 0, chunks=1)
    assert first.stdout is not None
    assert first.stdout.readline() == "0\n"
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("0/*.npy")}
    assert len(kept) == 2
    again = start(table, tmp_path, 0)
    out, _ = again.communicate(timeout=HANGS_S)
    undisturbed = prepared_media(table, "mine", SETTINGS, stored)
    assert out.split() == ["1", "2", undisturbed.digest("all")]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept

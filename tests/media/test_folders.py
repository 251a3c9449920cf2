"""Where the decoded clips of a corpus lie: corpora with the same ids do not share a folder, and a
corpus finds its own again after its clips were moved or changed."""

import functools
import io
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tqdm import tqdm

from meld_lightning.media import Media, nothing_decoded, prepare_media, prepared_media, store
from meld_lightning.media.pool import Stopped
from tests.media.test_store import SETTINGS
from tests.running import HANGS_S

ASKED = {**SETTINGS, "keep": ["audio"], "processes": 1}
KEYS = [f"u{number}" for number in range(3)]
# takes the bytes of a file for its samples
WORKER = """
import json, shutil, sys
from pathlib import Path
for line in sys.stdin:
    job = json.loads(line)
    source = job["sources"]["audio"]
    shutil.copy(source, job["out"] + ".audio")
    count = Path(source).stat().st_size // 4
    print(json.dumps({"audio": {"count": count, "reason": None}}), flush=True)
"""


def clips(folder: Path, fill: int, floats: int = 5) -> pd.DataFrame:
    """A table over three files, whose samples are made of the byte `fill`."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{key}.wav" for key in KEYS]
    for path in paths:
        path.write_bytes(bytes([fill]) * 4 * floats)
    return pd.DataFrame(
        {"key": KEYS, "clip": [None] * 3, "audio": map(str, paths), "split": "test"}, dtype=object
    )


def prepare(table: pd.DataFrame, cache: Path) -> Media:
    return prepare_media(table, "mine", ASKED, cache, worker=[sys.executable, "-c", WORKER])


def written(media: Media) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in media.folder.rglob("audio.npy")}


def test_two_corpora_with_equal_ids_keep_their_clips_apart(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    tables = [clips(tmp_path / "a", 1), clips(tmp_path / "b", 2, floats=6)]
    first, second = (prepare(table, cache) for table in tables)
    assert second.folder == first.folder.with_name(f"{first.folder.name}.2")
    before = written(first) | written(second)
    for table, samples in ((tables[0], b"\1" * 20), (tables[1], b"\2" * 24)):
        for media in (prepare(table, cache), prepared_media(table, "mine", ASKED, cache)):
            assert media.waveform(0).tobytes() == samples
    assert written(first) | written(second) == before


def test_a_moved_corpus_finds_its_clips_again(tmp_path: Path) -> None:
    first = prepare(clips(tmp_path / "a", 1), tmp_path / "cache")
    before = written(first)
    shutil.move(tmp_path / "a", tmp_path / "b")
    moved = first.folder.parent
    table = pd.DataFrame(
        {"key": KEYS, "clip": None, "audio": [str(tmp_path / f"b/{key}.wav") for key in KEYS]},
        dtype=object,
    )
    assert prepared_media(table, "mine", ASKED, moved.parent).folder == first.folder
    assert prepare(table, moved.parent).folder == first.folder
    assert written(first) == before


@pytest.mark.parametrize("recorded", [True, False])
def test_changed_clips_stay_in_their_folder(recorded: bool, tmp_path: Path) -> None:
    """Also in a cache of earlier versions, which did not record where its clips were."""
    table = clips(tmp_path / "a", 1)
    first = prepare(table, tmp_path / "cache")
    path = first.folder / "settings.json"
    if not recorded:
        known = json.loads(path.read_text())
        del known["clips"]
        path.write_text(json.dumps(known))
        clips(tmp_path / "other", 1)
        shutil.copy(tmp_path / "other/u0.wav", tmp_path / "a/u0.wav")
        Path(table["audio"][1]).write_bytes(b"\3" * 40)
    else:
        clips(tmp_path / "a", 3, floats=10)
    again = prepare(table, tmp_path / "cache")
    assert again.folder == first.folder
    assert again.waveform(1).tobytes() == b"\3" * 40
    assert "clips" in json.loads(path.read_text())


def test_the_bar_counts_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(store, "CHUNK", 2)
    table = clips(tmp_path / "a", 1)
    table.loc[0, "audio"] = None
    for _ in range(2):  # decoded now, and decoded before
        screen = Terminal()
        monkeypatch.setattr(store, "tqdm", functools.partial(tqdm, file=screen))
        prepare(table, tmp_path / "cache")
        assert "2/2" in screen.getvalue()
        assert "clips" in screen.getvalue()


def test_a_folder_that_another_corpus_is_about_to_fill_is_left_to_it(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = prepare(clips(tmp_path / "a", 1), cache)
    shutil.rmtree(first.folder / "0")  # not decoded yet
    second: Any = prepare(clips(tmp_path / "b", 2), cache)
    assert second.folder != first.folder


def test_clips_of_which_not_one_can_be_decoded_are_no_success(tmp_path: Path) -> None:
    broken = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"audio": {"count": 0, "reason": "no audio track"}}), flush=True)
"""
    table = clips(tmp_path / "a", 1)
    worker = [sys.executable, "-c", broken]
    media = prepare_media(table, "mine", ASKED, tmp_path / "bad", worker=worker)
    said = nothing_decoded(media, table)
    assert said == "not one of the clips of 3 rows can be decoded: no audio track"
    assert nothing_decoded(prepare(table, tmp_path / "good"), table) is None
    table["audio"] = None
    assert nothing_decoded(prepare(table, tmp_path / "none"), table) is None


def test_another_thread_can_end_the_decoding(tmp_path: Path) -> None:
    """As predict does at Ctrl+C: the clip would take its time limit of a minute otherwise."""
    stop = threading.Event()
    endless = f"import sys, time; open({str(tmp_path / 'started')!r}, 'w'); time.sleep(3600)"

    def stop_once_started() -> None:
        until((tmp_path / "started").exists)
        stop.set()

    watcher = threading.Thread(target=stop_once_started)
    watcher.start()
    with pytest.raises(Stopped):
        prepare_media(
            clips(tmp_path / "a", 1), "mine", ASKED, tmp_path / "cache",
            worker=[sys.executable, "-c", endless], stop=stop,
        )  # fmt: skip
    watcher.join()


def until(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANGS_S
    while not seen() and time.monotonic() < deadline:
        time.sleep(0.02)

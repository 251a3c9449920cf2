"""Parts of clips: the frames and the sound between two times, as in the decoded clip."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meld_lightning.media import frames as frames_module
from meld_lightning.media import prepare_media, read_frames, read_waveform
from meld_lightning.media.frames import iter_frames
from meld_lightning.media.parts import Part
from meld_lightning.media.waveform import iter_waveform
from tests.media.conftest import FPS, Write, encode_clip
from tests.media.test_store import SETTINGS


def frames_between(whole: np.ndarray, start: float, end: float, every: int) -> np.ndarray:
    """From all frames of a clip, those that a part should give."""
    times = np.arange(len(whole)) / float(FPS)
    return whole[(times >= start - 1e-9) & (times < end - 1e-9)][::every]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds with an image to start from in each."""
    path = tmp_path_factory.mktemp("parts") / "a.mp4"
    encode_clip(path, frames=96, shape=(64, 64), options={"g": "24", "bf": "2"})
    return path


@pytest.mark.slow
def test_a_part_has_the_frames_of_its_time(clip: Path, write_clip: Write) -> None:
    options = {"frames": 96, "shape": (64, 64), "options": {"g": "24"}}
    for path in (clip, write_clip("b.mp4", codec="mpeg4", **options)):
        whole = read_frames(path, 1, 32)
        for start, every in ((0.0, 10), (1.3, 1), (3.2, 10)):
            found = list(iter_frames(path, every, 32, part=Part(start, start + 1.4)))
            assert np.array_equal(found, frames_between(whole, start, start + 1.4, every))


def test_parts_side_by_side_give_every_frame_once(clip: Path) -> None:
    parts = [Part(*edges) for edges in itertools.pairwise([0.0, 0.5, 0.9, 1.7, 9.0])]
    found = [frame for part in parts for frame in iter_frames(clip, 1, 32, part=part)]
    assert np.array_equal(found, read_frames(clip, 1, 32))


def test_a_part_has_the_sound_of_its_time(clip: Path) -> None:
    whole = read_waveform(clip)
    for start, end in ((0.0, 1.0), (1.25, 3.5)):
        found = np.concatenate(list(iter_waveform(clip, 16000, "center", part=Part(start, end))))
        expected = whole[round(start * 16000) : round(end * 16000)]
        assert abs(len(found) - len(expected)) <= 1
        # smoothed, because the samples may lie up to half of one apart
        one, two = (np.convolve(x[: len(expected) - 1], np.ones(16)) for x in (found, expected))
        assert np.corrcoef(one, two)[0, 1] > 0.95


def test_a_part_behind_the_end_is_empty(clip: Path) -> None:
    assert list(iter_frames(clip, 1, 32, part=Part(50.0, 51.0))) == []
    assert sum(map(len, iter_waveform(clip, 16000, "center", part=Part(50.0, 51.0)))) == 0


def test_packets_that_memory_would_not_hold_are_read_twice(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = read_frames(clip, 7, 32)
    monkeypatch.setattr(frames_module, "KEPT_BYTES", 1000)
    assert np.array_equal(read_frames(clip, 7, 32), kept)


@pytest.mark.slow
def test_the_store_keeps_parts_of_one_clip_as_rows(clip: Path, tmp_path: Path) -> None:
    path = str(clip)
    rows = {"key": ["one", "two", "none", "all"], "clip": path, "audio": None}
    table = pd.DataFrame(
        {**rows, "start": [0.0, 2.0, 60.0, np.nan], "end": [2.0, 4.0, 62.0, np.nan]}
    )
    media = prepare_media(table, "mine", SETTINGS, tmp_path, processes=1)
    whole = read_frames(path, 1, 32)
    assert np.array_equal(media.frames(1), frames_between(whole, 2.0, 4.0, 10))
    assert np.array_equal(media.frames(3), whole[::10])
    assert abs(len(media.waveform(1)) - 32000) <= 1
    assert media.reasons["frames"] == {"none": "no frames in it"}
    assert media.reasons["audio"] == {"none": "no samples in it"}
    again = prepare_media(
        table.assign(end=table["end"] + 1), "mine", SETTINGS, tmp_path, processes=1
    )
    assert again.samples[0] > media.samples[0]

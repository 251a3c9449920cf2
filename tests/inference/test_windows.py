"""Long clips in windows, and the timeline of their answers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from meld_lightning.errors import UserError
from meld_lightning.inference.answers.timeline import draw_timeline
from meld_lightning.inference.items.table import as_items
from meld_lightning.inference.items.windows import (
    clock,
    fixed_windows,
    in_windows,
    speech_windows,
    windows_setting,
)
from tests.inference.answered import answer
from tests.media.conftest import encode_clip

RATE = 16000


def spoken(*spans: tuple[float, float], length: float, loud: float = 0.3) -> np.ndarray:
    """Noise within the spans (seconds), and a faint hiss elsewhere."""
    rng = np.random.default_rng(0)
    sound = rng.normal(0, loud / 1000, round(length * RATE))
    for start, end in spans:
        place = slice(round(start * RATE), round(end * RATE))
        sound[place] = rng.normal(0, loud, place.stop - place.start)
    return sound.astype(np.float32)


def found(sound: np.ndarray, piece: int = 1000) -> list[tuple[float, float]]:
    return speech_windows(np.split(sound, range(piece, len(sound), piece)))


@pytest.mark.parametrize("loud", [0.3, 0.01])
def test_windows_lie_between_silences(loud: float) -> None:
    windows = found(spoken((1.0, 3.0), (3.2, 4.0), (5.0, 6.5), length=8, loud=loud))
    assert np.allclose(windows, [(0.9, 4.1), (4.9, 6.6)], atol=0.03)


def test_a_click_makes_no_window_and_long_speech_several() -> None:
    windows = found(spoken((0.5, 0.52), (2.0, 42.0), length=43), piece=64000)
    assert np.allclose(windows, [(1.9, 15.3), (15.3, 28.7), (28.7, 42.1)], atol=0.05)


def test_silence_alone_has_no_windows() -> None:
    assert found(np.zeros(RATE, np.float32)) == []
    assert found(np.zeros(0, np.float32)) == []


def test_fixed_windows_leave_nothing_out() -> None:
    assert fixed_windows(12.0, 5) == [(0.0, 5.0), (5.0, 12.0)]
    assert fixed_windows(13.0, 5) == [(0.0, 5.0), (5.0, 10.0), (10.0, 13.0)]
    assert fixed_windows(2.0, 5) == [(0.0, 2.0)]
    with pytest.raises(UserError, match=r"720,000 windows for a clip that states 100.0 hours"):
        fixed_windows(360_000.0, 0.5)


def test_only_silence_or_seconds_divide_a_clip() -> None:
    assert [windows_setting(one) for one in (None, "silence", 5, "2.5")] == [
        None,
        "silence",
        5,
        2.5,
    ]
    for wrong in ("scilence", 0, -1, "nan", True, 1e9):
        with pytest.raises(UserError, match="expected silence, or 0.1 to 3600 seconds"):
            windows_setting(wrong)


@pytest.mark.slow
def test_a_clip_becomes_items_of_its_windows(tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    encode_clip(clip, frames=96, shape=(16, 16))
    (tmp_path / "bad.mp4").write_text("<html>")
    others = [{"id": "said", "text": "Oh."}, {"id": "bad", "clip": str(tmp_path / "bad.mp4")}]
    items = in_windows(as_items([{"id": "a.mp4", "clip": str(clip)}, *others]), 2.0)
    assert items["id"].tolist()[1:] == ["a.mp4 [0:02.0-0:04.0]", "said", "bad"]
    assert items["clip"].tolist()[:2] == [str(clip)] * 2
    assert items["start"].tolist()[:2] == [0.0, 2.0]
    assert items["end"].tolist()[1] == pytest.approx(4.0, abs=0.05)
    assert items["start"].isna().tolist() == [False, False, True, True]
    with pytest.raises(UserError, match="its text belongs to the clip as a whole"):
        in_windows(as_items([{"id": "a", "clip": str(clip), "text": "Oh."}]), 2.0)


def test_times_are_shown_as_a_player_shows_them() -> None:
    assert [clock(one) for one in (0, 65.25, 3665, 59.96)] == [
        "0:00.0",
        "1:05.2",
        "1:01:05.0",
        "0:59.9",
    ]


@pytest.mark.slow
def test_the_timeline_shows_each_window_in_its_colours(tmp_path: Path) -> None:
    clip, path = tmp_path / "a.mp4", tmp_path / "a.png"
    encode_clip(clip, frames=120, codec=None, layout="mono")
    p = (0.9, 0.05, 0.05)
    rows = [answer("a", *p, start=0.0, end=2.0), answer("b", *p[::-1], start=3.0, end=5.0)]
    draw_timeline(pd.DataFrame(rows), clip, path)
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    height, width, _ = pixels.shape

    def has(colour: str, part: np.ndarray) -> float:
        wanted = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)])
        return float((np.abs(part - wanted).sum(2) < 6).mean())

    left, right = pixels[height // 2 :, : width // 3], pixels[height // 2 :, width // 2 :]
    assert has("#BBBBBB", left) > 0.3  # neutral
    assert has("#332288", right) > 0.2  # anger
    assert has("#332288", left) < 0.1
    assert has("#DDCC77", pixels[height // 4 :, : width // 3]) > 0.005  # joy, above neutral
    assert has("#8899AA", pixels[: height // 3]) > 0.1  # the waveform
    assert [one.name for one in tmp_path.iterdir() if one != clip] == ["a.png"]


def test_a_timeline_needs_windows_and_a_name(tmp_path: Path) -> None:
    whole, part = answer("a", 0.5, 0.25, 0.25), answer("a", 0.5, 0.25, 0.25, start=0.0, end=1.0)
    for row, name, said in (
        (whole, "a.png", "no windows to draw"),
        (part, "a.pdf", "ends in .png"),
        (part, "none/a.png", "no such folder"),
    ):
        with pytest.raises(UserError, match=said):
            draw_timeline(pd.DataFrame([row]), tmp_path / "none.mp4", tmp_path / name)
    draw_timeline(pd.DataFrame([part]), tmp_path / "none.mp4", tmp_path / "a.png")  # no sound
    assert (tmp_path / "a.png").is_file()

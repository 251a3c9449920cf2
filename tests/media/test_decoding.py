"""Frames and sound of one clip, against ffmpeg and against CLIP's own preprocessing; and clips that
are no clips."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from transformers import CLIPImageProcessor

from meld_lightning.media import read_frames, read_waveform
from meld_lightning.media.decord_frames import iter_frames_decord
from meld_lightning.media.errors import MediaError
from meld_lightning.media.frames import iter_frames
from meld_lightning.media.losses import Losses
from tests.media.conftest import Write
from tests.repeats import few

FFMPEG = shutil.which("ffmpeg")
INVALID = "cannot be decoded (Invalid data found when processing input)"
needs_ffmpeg = pytest.mark.skipif(
    FFMPEG is None, reason="ffmpeg, the independent reference, is not installed"
)


def ffmpeg(*arguments: str) -> bytes:
    assert FFMPEG
    return subprocess.run(
        [FFMPEG, "-loglevel", "error", *arguments], capture_output=True, check=True
    ).stdout


def pictures_of_ffmpeg(path: Path, shape: tuple[int, int], every: int = 10) -> np.ndarray:
    """The frames (F, H, W, 3) that ffmpeg's `select` gives."""
    select = ["-vf", f"select='not(mod(n,{every}))'", "-fps_mode", "passthrough"]
    raw = ffmpeg("-i", str(path), *select, "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, *shape, 3)


def frames_of_ffmpeg(path: Path, every: int = 10) -> int:
    """How many frames ffmpeg's `select` gives."""
    select = ["-vf", f"select='not(mod(n,{every}))'", "-fps_mode", "passthrough"]
    lines = ffmpeg("-i", str(path), "-an", *select, "-f", "framecrc", "-").decode().splitlines()
    return sum(not line.startswith("#") for line in lines)


def sound_of_ffmpeg(path: Path) -> np.ndarray:
    """What ffmpeg resamples to mono at 16 kHz: float32 (T,)."""
    raw = ffmpeg("-i", str(path), "-vn", "-ac", "1", "-ar", "16000", "-f", "f32le", "-")
    return np.frombuffer(raw, np.float32)


def as_clip_sees(frames: np.ndarray) -> np.ndarray:
    """CLIP's own resize and crop, before it rescales."""
    processor: Any = CLIPImageProcessor(do_normalize=False, do_rescale=False)
    pixels = processor(list(frames), return_tensors="np")["pixel_values"]
    return np.asarray(pixels).transpose(0, 2, 3, 1)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "given"),
    few(
        [
            ("plain.mp4", {}),
            ("b_frames.mp4", {"frames": 61, "options": {"bf": "4", "b-pyramid": "strict"}}),
            ("tall.mp4", {"shape": (160, 96)}),
            ("hevc.mkv", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
            ("no_times.avi", {"codec": "mpeg4", "layout": None, "options": {"bf": "2"}}),
            ("still.mp4", {"frames": 1, "layout": None}),
        ],
        2,
    ),
)
def test_frames_are_those_that_ffmpeg_counts_and_clip_sees(
    name: str, given: dict[str, Any], write_clip: Write
) -> None:
    path = write_clip(name, **given)
    expected = as_clip_sees(pictures_of_ffmpeg(path, given.get("shape", (96, 160))))
    found = read_frames(path)
    assert found.shape == expected.shape == (-(-given.get("frames", 40) // 10), 224, 224, 3)
    assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.slow
@needs_ffmpeg
def test_frames_that_an_edit_list_hides_are_not_counted(write_clip: Write, tmp_path: Path) -> None:
    whole = write_clip("whole.mp4", frames=60, options={"g": "30"})
    ffmpeg("-ss", "0.8", "-i", str(whole), "-c", "copy", str(tmp_path / "cut.mp4"))
    expected = as_clip_sees(pictures_of_ffmpeg(tmp_path / "cut.mp4", (96, 160)))
    found = read_frames(tmp_path / "cut.mp4")
    assert 0 < len(found) == len(expected) < 6
    assert np.abs(found.astype(int) - expected).max() <= 2
    with pytest.raises(MediaError, match="use media.decoder=pyav"):
        list(iter_frames_decord(tmp_path / "cut.mp4", 10, 224))


def test_decord_gives_the_same_frames(write_clip: Write) -> None:
    path = write_clip("clip.mp4", frames=45, options={"bf": "3"})
    assert np.array_equal(np.stack(list(iter_frames_decord(path, 10, 224))), read_frames(path))


def test_another_step_and_size(write_clip: Write) -> None:
    path = write_clip("clip.mp4", frames=23)
    assert read_frames(path, every=7, size=32).shape == (4, 32, 32, 3)
    assert np.array_equal(read_frames(path, every=1)[::10], read_frames(path))


@needs_ffmpeg
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_sound_is_what_ffmpeg_resamples(layout: str, write_clip: Write) -> None:
    path = write_clip("clip.mp4", layout=layout)
    expected, found = sound_of_ffmpeg(path), read_waveform(path)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-6


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("channels", few(["center", "mean"], 1))
def test_5_1_sound_gives_the_centre_or_the_mean(channels: Any, write_clip: Write) -> None:
    path = write_clip("clip.mp4", layout="5.1")
    mean = "c0=" + "+".join(f"{1 / 6:.12f}*c{place}" for place in range(6))
    weights = "c0=FC" if channels == "center" else mean
    raw = ffmpeg("-i", str(path), "-af", f"aresample=16000,pan=mono|{weights}", "-f", "f32le", "-")
    expected, found = np.frombuffer(raw, np.float32), read_waveform(path, channels=channels)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-6


def test_sound_files_without_a_picture(write_clip: Write) -> None:
    path = write_clip("voice.m4a", codec=None)
    assert len(read_waveform(path)) > 20_000
    with pytest.raises(MediaError, match="no video track"):
        read_frames(path)


def test_a_clip_without_sound(write_clip: Write) -> None:
    path = write_clip("mute.mp4", layout=None)
    assert len(read_frames(path)) == 4
    with pytest.raises(MediaError, match="no audio track"):
        read_waveform(path)


@pytest.mark.parametrize("spoilt", few(["half", "no_index", "empty", "page", "stub", "absent"], 3))
def test_files_that_are_not_clips_are_refused_with_a_reason(
    spoilt: str, write_clip: Write, tmp_path: Path
) -> None:
    good = write_clip("good.mp4", frames=60).read_bytes()
    contents = {
        "half": good[: len(good) // 2], "no_index": good[: good.rindex(b"moov")], "empty": b"",
        "page": b"<html>404</html>", "stub": b"\x00\x05\x16\x07".ljust(212, b"\0"),
    }  # fmt: skip
    path = tmp_path / "spoilt.mp4"
    if spoilt != "absent":
        path.write_bytes(contents[spoilt])
    for read in (read_frames, read_waveform):
        with pytest.raises(MediaError) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))
        assert caught.value.reason == ("no such file" if spoilt == "absent" else INVALID)


@needs_ffmpeg
@pytest.mark.parametrize("every", few([10, 1], 1))
def test_damaged_streams_give_the_frames_of_ffmpeg(every: int, write_clip: Write) -> None:
    path = write_clip("clip.mp4", frames=60, layout=None)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    times = [packet.pts for packet in packets if packet.pts is not None]
    for packet in packets[25::5]:
        assert packet.pos is not None
        middle = packet.pos + packet.size // 2
        data[middle : middle + 8] = bytes(255 - byte for byte in data[middle : middle + 8])
    path.write_bytes(bytes(data))
    losses = Losses()
    found = list(iter_frames(path, every, 224, losses=losses))
    expected = as_clip_sees(pictures_of_ffmpeg(path, (96, 160), every))
    assert len(found) == len(expected)
    # those shown before any damaged packet: what stands in for the others depends on the version
    damaged_from = min(times[25:])
    intact = -(-sum(time < damaged_from for time in times) // every)
    assert intact > 1
    assert np.abs(np.stack(found[:intact]).astype(int) - expected[:intact]).max() <= 2
    assert losses.packets == 60
    assert losses.damaged > 0

"""Frames are turned and mirrored, and tracks chosen, as ffmpeg does it."""

import math
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from meld_lightning.media import read_frames, read_waveform
from meld_lightning.media.decord_frames import iter_frames_decord
from meld_lightning.media.errors import MediaError
from meld_lightning.media.orientation import upright
from tests.media.conftest import Write
from tests.media.test_decoding import ffmpeg, needs_ffmpeg, sound_of_ffmpeg
from tests.repeats import few

pytestmark = needs_ffmpeg
ONE = 1 << 16
SHAPE = (64, 96)
PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=1")
SILENCE = ("-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo")


def turned(degrees: float) -> tuple[int, ...]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return tuple(int(ONE * value) for value in (cos, sin, -sin, cos))


MATRICES = {
    "as stored": (ONE, 0, 0, ONE),
    "mirrored": (-ONE, 0, 0, ONE),
    "upside down": (ONE, 0, 0, -ONE),
    "half turn": (-ONE, 0, 0, -ONE),
    "quarter turn": (0, ONE, -ONE, 0),
    "transposed": (0, ONE, ONE, 0),
    "three quarters": (0, -ONE, ONE, 0),
    "transposed, half turn": (0, -ONE, -ONE, 0),
    "half size, quarter turn": (0, ONE // 2, -ONE // 2, 0),
    "all zero": (0, 0, 0, 0),
    **{f"{degrees} degrees": turned(degrees) for degrees in (0.6, 1, 30, 89.7, 91, 200, 359)},
}


def oriented(path: Path, name: str) -> Path:
    """`path` with another display matrix."""
    data, (a, b, c, d) = bytearray(path.read_bytes()), MATRICES[name]
    place = data.index(b"tkhd") + 44
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("name", few(MATRICES, 6))
def test_frames_stand_as_ffmpeg_shows_them(name: str, write_clip: Write) -> None:
    path = oriented(write_clip("clip.mp4", frames=2, layout=None, shape=SHAPE), name)
    options = ("-frames:v", "1", "-pix_fmt", "rgb24", "-f", "image2pipe", "-c:v", "ppm", "-")
    header, size, _, pixels = ffmpeg("-i", str(path), *options).split(b"\n", 3)
    width, height = map(int, size.split())
    assert header == b"P6"
    with av.open(str(path)) as container:
        found = upright(next(container.decode(video=0)))
    assert found.shape == (height, width, 3)
    assert np.array_equal(found, np.frombuffer(pixels, np.uint8).reshape(found.shape))


@pytest.mark.parametrize(
    ("name", "is_refused"),
    [("quarter turn", False), ("half turn", False), ("mirrored", True), ("30 degrees", True)],
)
def test_decord_turns_frames_but_does_not_mirror_them(
    name: str, is_refused: bool, write_clip: Write
) -> None:
    path = oriented(write_clip("clip.mp4", frames=2, layout=None, shape=SHAPE), name)
    if is_refused:
        with pytest.raises(MediaError, match="use media.decoder=pyav"):
            list(iter_frames_decord(path, 1, 32))
    else:
        assert np.array_equal(list(iter_frames_decord(path, 1, 32)), read_frames(path, 1, 32))


@pytest.mark.parametrize(
    ("flags", "is_loud"),
    [
        (("-disposition:a:0", "0", "-disposition:a:1", "default"), True),
        (("-disposition:a:0", "default", "-disposition:a:1", "0"), False),
        (("-disposition:a:0", "0", "-disposition:a:1", "0"), False),  # the one with more channels
    ],
)
def test_the_sound_track_is_the_one_ffmpeg_takes(
    flags: tuple[str, ...], is_loud: bool, tmp_path: Path
) -> None:
    path = tmp_path / "clip.mkv"
    loud = ("-f", "lavfi", "-i", "sine=frequency=300:duration=1")
    tracks = ("-map", "0:v", "-map", "1:a", "-map", "2:a", "-t", "1")
    ffmpeg(*PICTURE, *SILENCE, *loud, *tracks, *flags, "-c:v", "mpeg4", str(path))
    found, expected = read_waveform(path), sound_of_ffmpeg(path)
    assert np.abs(found - expected).max() < 1e-6
    assert bool(np.abs(found).max() > 0.05) is is_loud


def test_the_video_track_is_the_default_one_or_the_largest(tmp_path: Path) -> None:
    small = ("-f", "lavfi", "-i", "color=red:size=32x32:rate=25:duration=1")
    both = ("-map", "0:v", "-map", "1:v", "-c:v", "mpeg4", "-disposition:v:0", "0")
    ffmpeg(*small, *PICTURE, *both, str(tmp_path / "large.mkv"))
    assert read_frames(tmp_path / "large.mkv", size=32).std() > 30
    default = ("-disposition:v:1", "0", "-disposition:v:0", "default")
    ffmpeg(*small, *PICTURE, *both, *default, str(tmp_path / "default.mkv"))
    assert read_frames(tmp_path / "default.mkv", size=32).std(axis=(1, 2)).max() < 3


def test_cover_art_is_not_a_film(tmp_path: Path) -> None:
    cover, path = tmp_path / "cover.jpg", tmp_path / "song.m4a"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=640x640", "-frames:v", "1", str(cover))
    tracks = ("-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v:0", "attached_pic")
    ffmpeg(*SILENCE, "-i", str(cover), *tracks, "-t", "1", str(path))
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    with pytest.raises(MediaError, match="no video track"):
        read_frames(path)

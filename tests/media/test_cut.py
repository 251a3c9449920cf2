"""Streams that were cut, against ffmpeg: at keyframes, which is no harm, or anywhere, which is."""

from pathlib import Path

import numpy as np
import pytest

from meld_lightning.media import read_frames, read_waveform
from meld_lightning.media.errors import MediaError
from tests.media.test_decoding import (
    as_clip_sees,
    ffmpeg,
    frames_of_ffmpeg,
    needs_ffmpeg,
    pictures_of_ffmpeg,
    sound_of_ffmpeg,
)
from tests.repeats import few

pytestmark = needs_ffmpeg
PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=3")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=300:sample_rate=48000:duration=3")
SHARE = 0.45
OPEN_GOPS = "keyint=25:min-keyint=25:open-gop=1:bframes=3:scenecut=0"
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", OPEN_GOPS)
HEVC = ("-c:v", "libx265", "-pix_fmt", "yuv420p", "-x265-params", OPEN_GOPS + ":log-level=none")
MPEG2 = ("-c:v", "mpeg2video", "-g", "12", "-bf", "2")
WHOLE = {  # the options with which a whole file is made; its suffix is its name's
    "a.wav": SOUND,
    "a.mp4": (*PICTURE, *SOUND, *H264, "-movflags", "+faststart"),
    "a.mp3": (*SOUND, "-c:a", "libmp3lame"),
    "a.flac": SOUND,
    "a.opus": (*SOUND, "-c:a", "libopus"),
    "a.wma": SOUND,
    "a.mkv": (*PICTURE, *SOUND, *H264),
    "a.webm": (*PICTURE, *SOUND, "-c:v", "libvpx", "-c:a", "libopus"),
    "a.ts": (*PICTURE, *SOUND, *H264),
    "a.avi": (*PICTURE, *SOUND, "-c:v", "mpeg4", "-bf", "2"),
    "a.flv": (*PICTURE, *SOUND, "-c:v", "flv1", "-ar", "44100"),
}


def made(path: Path, *options: str) -> Path:
    ffmpeg("-y", *options, str(path))
    return path


def truncated(path: Path, share: float) -> Path:
    data = path.read_bytes()
    cut = path.with_name(f"cut{path.suffix}")
    cut.write_bytes(data[: int(len(data) * share)])
    return cut


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "name", "cut"),
    [
        (H264, "a.ts", "cut.ts"),
        (MPEG2, "a.ts", "cut.mp4"),
        (H264, "a.mp4", "cut.mp4"),
        (HEVC, "a.mp4", "cut.mkv"),
        (HEVC, "a.mp4", "cut.ts"),
        (MPEG2, "a.ts", "cut.ts"),
    ],
)
def test_what_is_cut_without_encoding_it_again_has_the_frames_of_ffmpeg(
    codec: tuple[str, ...], name: str, cut: str, tmp_path: Path
) -> None:
    whole = made(tmp_path / name, *PICTURE, *codec)
    path = made(tmp_path / cut, "-ss", "1.3", "-i", str(whole), "-c", "copy")
    for every in (1, 10):
        expected = as_clip_sees(pictures_of_ffmpeg(path, (64, 96), every))
        found = read_frames(path, every)
        assert found.shape == expected.shape
        assert len(found) > 0
        assert np.abs(found.astype(int) - expected).max() <= 2


def test_dropped_frames_of_an_avi_are_not_missing(tmp_path: Path) -> None:
    dropped = ("-vf", "select='not(between(n,20,40))'", "-fps_mode", "vfr", "-c:v", "mjpeg")
    path = made(tmp_path / "a.avi", *PICTURE, *dropped)
    assert len(read_frames(path, 1, 32)) == frames_of_ffmpeg(path, 1) == 75 - 21


@pytest.mark.slow
@pytest.mark.parametrize("name", few(WHOLE, 3))
def test_a_truncated_file_is_missing_unless_it_is_to_be_kept(name: str, tmp_path: Path) -> None:
    whole = made(tmp_path / name, *WHOLE[name])
    path = truncated(whole, SHARE)
    assert len(read_waveform(whole)) == len(sound_of_ffmpeg(whole))
    with pytest.raises(MediaError, match=r"cut short; media.keep_cut=true keeps what is left \(it"):
        read_waveform(path)
    found, expected = read_waveform(path, keep_cut=True), sound_of_ffmpeg(path)
    assert len(found) == len(expected) > 0
    assert np.abs(found - expected).max() < 1e-6
    if PICTURE[3] in WHOLE[name]:
        assert len(read_frames(whole, size=32)) == 8
        with pytest.raises(
            MediaError, match=r"cut short; media.keep_cut=true keeps what is left \(it"
        ):
            read_frames(path, size=32)
        assert len(read_frames(path, 1, 32, keep_cut=True)) == frames_of_ffmpeg(path, 1) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", few(["a.wav", "a.mkv", "a.mp3"], 1))
def test_a_header_that_states_no_length_is_taken_at_its_word(name: str, tmp_path: Path) -> None:
    options = (*WHOLE[name], "-f", {"a.mkv": "matroska"}.get(name, name[2:]))
    path = tmp_path / name
    path.write_bytes(ffmpeg(*options, "-write_xing", "0", "pipe:") if name == "a.mp3" else
                     ffmpeg(*options, "pipe:"))  # fmt: skip
    for one in (path, truncated(path, SHARE)):
        assert len(read_waveform(one)) == len(sound_of_ffmpeg(one)) > 0


@pytest.mark.slow
def test_a_track_that_ends_before_the_other_is_not_cut(tmp_path: Path) -> None:
    short = ("-f", "lavfi", "-i", "sine=frequency=300:duration=1")
    path = made(tmp_path / "a.mkv", *PICTURE, *short, *H264)
    assert len(read_waveform(path)) == len(sound_of_ffmpeg(path))
    assert len(read_frames(path, size=32)) == 8


@pytest.mark.parametrize("size", ["of the whole file", "none"])
def test_a_wav_whose_size_is_a_little_off_is_not_cut(size: str, tmp_path: Path) -> None:
    path = made(tmp_path / "a.wav", *SOUND)
    data = bytearray(path.read_bytes())
    data[4:8] = (0 if size == "none" else len(data)).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    assert len(read_waveform(path)) == 48000

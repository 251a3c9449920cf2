"""Sound with packets that fail to decode, or whose layout, rate or format changes, against ffmpeg;
and how the report names what was lost."""

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meld_lightning.corpus.report.markdown import render_media
from meld_lightning.media import media_report, prepare_media, read_waveform
from meld_lightning.media.errors import MediaError
from meld_lightning.media.losses import Losses
from meld_lightning.media.waveform import iter_waveform
from tests.media.test_decoding import ffmpeg, needs_ffmpeg, sound_of_ffmpeg
from tests.media.test_store import SETTINGS
from tests.repeats import few

pytestmark = needs_ffmpeg
TONE = "0.3*sin(900*t)"


def tone(folder: Path, name: str, rate: int, layout: str = "stereo") -> bytes:
    """A second of sound."""
    expressions = "|".join([TONE] * {"mono": 1, "stereo": 2, "quad": 4}[layout])
    source = f"aevalsrc={expressions}:c={layout}:s={rate}:d=1"
    ffmpeg("-y", "-f", "lavfi", "-i", source, str(folder / name))
    return (folder / name).read_bytes()


def damaged(data: bytes, places: int, seed: int = 0) -> bytes:
    """`data` with garbage in many places, but not in the index of an MP4."""
    rng, spoilt = random.Random(seed), bytearray(data)
    end = data.find(b"moov") if b"moov" in data else len(data)
    for _ in range(places):
        start = rng.randrange(1500, end - 100)
        spoilt[start : start + 40] = rng.randbytes(40)
    return bytes(spoilt)


@pytest.mark.parametrize("name", few(["a.mp3", "a.aac", "a.m4a"], 1))
def test_packets_that_fail_are_dropped_and_counted(name: str, tmp_path: Path) -> None:
    data = tone(tmp_path, name, 44100)
    path = tmp_path / f"bad{name}"
    path.write_bytes(damaged(data, 6))
    losses = Losses()
    found = np.concatenate(list(iter_waveform(path, 16000, "center", losses=losses)))
    expected = sound_of_ffmpeg(path)
    assert len(found) == len(expected) > 8000
    assert np.abs(found - expected).max() < 1e-6
    assert 0 < losses.dropped < losses.packets


def test_a_page_behind_an_mp3_costs_a_packet(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    page = b"\r\n<html><body>\377\373 done</body></html>\r\n"
    path.write_bytes(tone(tmp_path, "a.mp3", 44100) + page)
    losses = Losses()
    found = np.concatenate(list(iter_waveform(path, 16000, "center", losses=losses)))
    assert len(found) == len(sound_of_ffmpeg(path)) == 16000
    assert losses.dropped == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parts"),
    few(
        [
            ("a.ac3", [(48000, "stereo"), (48000, "mono"), (32000, "stereo")]),
            ("a.aac", [(48000, "mono"), (48000, "stereo"), (22050, "quad")]),
            ("a.mp3", [(44100, "stereo"), (22050, "mono")]),
            ("a.mp3", [(16000, "mono"), (44100, "stereo")]),  # the first needs no resampler
        ],
        1,
    ),
)
def test_a_change_of_layout_or_rate_gives_the_sound_of_ffmpeg(
    name: str, parts: list[tuple[int, str]], tmp_path: Path
) -> None:
    path = tmp_path / f"all{name}"
    path.write_bytes(b"".join(tone(tmp_path, name, *part) for part in parts))
    found, expected = read_waveform(path), sound_of_ffmpeg(path)
    assert len(found) == len(expected) > 15000 * len(parts)
    if "quad" not in dict(parts).values():  # of whose channels we take the centre
        assert np.abs(found - expected).max() < 1e-6


@pytest.mark.slow
def test_pictures_survive_a_change_of_sound(tmp_path: Path) -> None:
    (tmp_path / "all.ac3").write_bytes(
        tone(tmp_path, "a.ac3", 48000) + tone(tmp_path, "b.ac3", 48000, "mono")
    )
    picture = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=2")
    path = tmp_path / "clip.ts"
    ffmpeg(*picture, "-i", str(tmp_path / "all.ac3"), "-c:v", "mpeg4", "-c:a", "copy", str(path))
    table = pd.DataFrame({"key": ["a"], "clip": [str(path)], "audio": [None], "split": "test"})
    media = prepare_media(table.astype(object), "mine", SETTINGS, tmp_path / "cache")
    assert media.frame_counts.tolist() == [5]
    assert media.samples.tolist() == [len(sound_of_ffmpeg(path))]


def test_sound_of_which_nothing_can_be_decoded_is_one_reason(tmp_path: Path) -> None:
    data = tone(tmp_path, "a.flac", 44100)
    path = tmp_path / "bad.mka"
    ffmpeg("-i", str(tmp_path / "a.flac"), "-c", "copy", str(path))
    spoilt, frame = bytearray(path.read_bytes()), data.index(b"\xff\xf8")
    for place in range(len(spoilt)):
        if spoilt[place : place + 2] == data[frame : frame + 2]:
            spoilt[place : place + 2] = b"\0\0"
    path.write_bytes(bytes(spoilt))
    with pytest.raises(MediaError, match="cannot be decoded"):
        read_waveform(path)


@pytest.mark.slow
def test_the_report_names_what_was_lost_and_who_is_doubtful(tmp_path: Path) -> None:
    good = tone(tmp_path, "good.m4a", 44100)
    (tmp_path / "few.m4a").write_bytes(damaged(good, 1, seed=4))
    (tmp_path / "many.m4a").write_bytes(damaged(good, 12))
    ffmpeg("-i", str(tmp_path / "good.m4a"), str(tmp_path / "whole.wav"))
    wav = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(wav[: len(wav) // 2])
    names = ["good.m4a", "few.m4a", "many.m4a", "cut.wav"]
    files, splits = [str(tmp_path / name) for name in names], ["train", "train", "val", "test"]
    table = pd.DataFrame(
        {"key": names, "clip": None, "audio": files, "split": splits}, dtype=object
    )
    settings = {**SETTINGS, "keep": ["audio"]}
    missing = prepare_media(table, "mine", settings, tmp_path / "cache")
    cut_short = "cut short; media.keep_cut=true keeps what is left"
    assert missing.reasons["audio"] == {"cut.wav": cut_short}
    kept = prepare_media(table, "mine", {**settings, "keep_cut": True}, tmp_path / "cache")
    assert missing.digest("audio") != kept.digest("audio")
    assert (kept.samples > 0).all()
    report = media_report(kept, table)
    assert [(row["key"], row["dropped"], row["doubtful"]) for row in report["lost"]] == [
        ("few.m4a", 1, False),
        ("many.m4a", report["lost"][1]["dropped"], True),
        ("cut.wav", 0, True),
    ]
    assert report["lost"][1]["dropped"] > report["lost"][1]["packets"] / 10
    assert "with more than a tenth or their end lost: many.m4a, cut.wav" in report["summary"]
    text = "\n".join(render_media(report))
    assert "few.m4a (sound): 1 of" in text
    assert "cut.wav (sound): cut short: it has" in text
    assert "a tenth of a track or its end is lost: many.m4a; cut.wav." in text

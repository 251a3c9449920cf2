"""Sound with samples that are no numbers: replaced by silence and counted, or no sound at all."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from meld_lightning.errors import UserError
from meld_lightning.media import Media, media_report, prepare_media, read_waveform
from tests.media.test_store import SETTINGS

RATE = 16000
WRONG = [np.nan, np.inf, -np.inf, 1e30]
AUDIO = {**SETTINGS, "keep": ["audio"]}


def write_wav(path: Path, wave: np.ndarray, rate: int = RATE) -> Path:
    """A wav file of floats (T,) or, with two channels, (T, 2)."""
    wave = np.asarray(wave, "<f4" if wave.dtype == np.float32 else "<f8")
    channels, size = (1 if wave.ndim == 1 else wave.shape[1]), wave.itemsize
    head = struct.pack(
        "<HHIIHH", 3, channels, rate, rate * channels * size, channels * size, 8 * size
    )
    data = wave.tobytes()
    body = (
        b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(data)) + data
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def tone(seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.3 * np.sin(np.arange(int(seconds * rate)) / 20)).astype(np.float32)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_few_such_samples_become_silence(tmp_path: Path, wrong: float) -> None:
    bad, silent = tone(), tone()
    bad[5000:5003], silent[5000:5003] = wrong, 0
    expected = read_waveform(write_wav(tmp_path / "silent.wav", silent))
    found = read_waveform(write_wav(tmp_path / "bad.wav", bad))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_do_not_spread_into_others_when_resampled(tmp_path: Path, dtype: Any) -> None:
    rate = 44100
    stereo = np.stack([tone(1, rate), tone(1, rate)], 1).astype(dtype)
    silent = stereo.copy()
    stereo[20000, 1], silent[20000, 1] = np.nan, 0
    found = read_waveform(write_wav(tmp_path / "bad.wav", stereo, rate))
    expected = read_waveform(write_wav(tmp_path / "silent.wav", silent, rate))
    assert len(found) == RATE
    np.testing.assert_array_equal(found, expected)


def test_full_scale_of_integers_is_sound(tmp_path: Path) -> None:
    """Some tools write integers of 16 or 32 bits as floats."""
    loud = tone() * np.float32(2**31)
    np.testing.assert_array_equal(read_waveform(write_wav(tmp_path / "loud.wav", loud)), loud)


def prepared(folder: Path, waves: dict[str, np.ndarray]) -> tuple[Media, pd.DataFrame]:
    """The decoded waves, by the key of their utterance."""
    files = [str(write_wav(folder / f"{key}.wav", wave)) for key, wave in waves.items()]
    table = pd.DataFrame(
        {"key": list(waves), "clip": None, "audio": files, "split": "test"}, dtype=object
    )
    return prepare_media(table, "mine", AUDIO, folder / "cache"), table


@pytest.mark.slow
def test_the_report_counts_what_was_replaced_and_what_has_no_sound(tmp_path: Path) -> None:
    few, many = tone(), tone()
    few[:3], many[: len(many) // 5] = np.nan, np.nan
    media, table = prepared(tmp_path, {"good": tone(), "few": few, "many": many})
    assert media.samples.tolist() == [RATE, RATE, 0]
    assert media.reasons["audio"] == {"many": "3200 of 16000 samples are not finite or beyond 2^31"}
    report = media_report(media, table)
    assert report["counts"] == {"audio": {"test": 2}}
    assert report["repaired"] == [{"key": "few", "not_finite": 3, "decoded": RATE}]
    assert "not finite became silence in 1 clip" in report["summary"]


@pytest.mark.parametrize("wrong", WRONG)
def test_all_of_them_at_once_is_one_reason(tmp_path: Path, wrong: float) -> None:
    path = write_wav(tmp_path / "bad.wav", np.full(RATE, wrong, np.float32))
    said = r"bad.wav: 16000 of 16000 samples are not finite or beyond 2\^31"
    with pytest.raises(UserError, match=said):
        read_waveform(path)


@pytest.mark.slow
def test_a_cache_that_holds_them_is_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that was written before they were looked for."""
    from meld_lightning.media import chunks

    few = tone()
    few[:3] = np.nan
    media, _ = prepared(tmp_path, {"few": few})
    clean = media.waveform(0).copy()
    [manifest] = media.folder.glob("*/manifest.json")
    array = manifest.parent / "audio.npy"
    np.save(array, few)
    [entry] = media.entries
    entry["audio"]["crc"] = chunks.crc_of(np.load(array), entry["audio"])
    manifest.write_text(json.dumps([entry]))
    again, _ = prepared(tmp_path, {"few": few})
    np.testing.assert_array_equal(again.waveform(0), clean)

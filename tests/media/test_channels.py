"""Sound with as many channels as a film has: the centre one is taken, or the mean of all."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meld_lightning.media import read_waveform

MASKS = {"5.1": 0x3F, "7.1": 0x63F}  # both in the order FL, FR, FC, LFE and so on
FORMATS: dict[str, tuple[int, Any]] = {"<i2": (1, 32767), "<f4": (3, 1)}


def write_wav(path: Path, sound_TC: np.ndarray, mask: int, dtype: str) -> Path:
    """A WAV file of Microsoft's extensible form, which says what each channel is."""
    code, scale = FORMATS[dtype]
    data = (sound_TC * scale).astype(dtype).tobytes()
    size, channels, rate = np.dtype(dtype).itemsize, sound_TC.shape[1], 16000
    frame = size * channels
    head = struct.pack("<HHIIHH", 0xFFFE, channels, rate, rate * frame, frame, size * 8)
    kind = struct.pack("<H", code) + bytes.fromhex("000000001000800000aa00389b71")
    head += struct.pack("<HHI", 22, size * 8, mask) + kind
    chunks = b"fmt " + struct.pack("<I", len(head)) + head
    chunks += b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("layout", MASKS)
def test_the_centre_of_many_channels(dtype: str, layout: str, tmp_path: Path) -> None:
    level_C = np.linspace(0.05, 0.5, MASKS[layout].bit_count())
    sound_TC = np.sin(np.arange(8000) / 9)[:, None] * level_C
    path = write_wav(tmp_path / "a.wav", sound_TC, MASKS[layout], dtype)
    for channels, expected in (("center", sound_TC[:, 2]), ("mean", sound_TC.mean(1))):
        found = read_waveform(path, channels=channels)  # type: ignore[arg-type]
        assert len(found) == 8000
        assert np.abs(found - expected).max() < 1e-4

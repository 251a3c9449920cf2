"""Clips changed at random go through the decoding worker: each is answered with frames and sound or
with reasons, and the clips between them are decoded as ever.

HOSTILE_CLIPS sets their number (200); HOSTILE_SEED makes them other ones.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meld_lightning.media.pool import WORKER, Pool
from tests.hostile.mutated import SEED
from tests.media.conftest import encode_clip

CLIPS = int(os.environ.get("HOSTILE_CLIPS", "200"))
EVERY = 20  # after so many changed clips comes a whole one
MEMORY = 4 << 30  # bytes of address space of a worker
SETTINGS = {"every": 2, "size": 32, "decoder": "pyav", "rate": 16000, "channels": "mean"}
BOXES = (b"moov", b"mvhd", b"tkhd", b"mdhd", b"stsd", b"stts", b"stsz", b"stco", b"stsc", b"mdat")


def changed(content: bytes, rng: np.random.Generator) -> bytes:
    """The clip with bits flipped, cut short, or with a field of its header overwritten."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        how, place = rng.integers(6), int(rng.integers(len(data)))
        if how == 0:
            for bit in rng.integers(8 * len(data), size=rng.integers(1, 60)):
                data[bit // 8] ^= 1 << (bit % 8)
        elif how == 1:
            data = data[: max(place, 1)]
        elif how == 2:
            data[place : place + 64] = bytes(64)
        elif how == 3:
            filling = (b"\xff" * 4, b"\x7f" + b"\xff" * 3, bytes(4))
            data[place : place + 4] = filling[rng.integers(3)]
        else:  # a field in or before a box of the header
            at = data.find(BOXES[rng.integers(len(BOXES))])
            at = max(0, at - 4 + int(rng.integers(60)))
            data[at : at + 4] = rng.bytes(4) if how == 4 else b"\xff\xff\xff\xff"
    return bytes(data)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    made = [folder / name for name in ("h264.mp4", "mpeg4.mp4", "silent.mp4", "sound.mp4")]
    for path, codec, layout in zip(
        made, ("libx264", "mpeg4", "libx264", None), ("stereo", "5.1", None, "mono"), strict=True
    ):
        encode_clip(path, frames=8, codec=codec, layout=layout, shape=(48, 64))
    return made


def jobs(whole: list[Path], folder: Path) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(SEED)
    contents = [path.read_bytes() for path in whole]
    for number in range(CLIPS):
        path = folder / f"{number}.mp4"
        if number % EVERY == EVERY - 1:
            path = whole[0]
        else:
            path.write_bytes(changed(contents[number % len(contents)], rng))
        out = str(folder / f"out{number}")
        sources = dict.fromkeys(("frames", "audio"), str(path))
        yield {"out": out, "sources": sources, "settings": SETTINGS, "number": number}


@pytest.mark.slow
def test_every_changed_clip_is_answered_and_the_next_one_decoded(
    whole: list[Path], tmp_path: Path
) -> None:
    answered: dict[int, dict[str, Any]] = {}
    command = ("prlimit", f"--as={MEMORY}", *WORKER)
    with Pool(1, timeout_s=60, command=command) as pool:
        for job, answer in pool.map(jobs(whole, tmp_path)):
            answered[job["number"]] = answer
            for kind in ("frames", "audio"):
                one = answer[kind]
                assert one["count"] > 0 or one["reason"], answer
            for path in tmp_path.glob(f"out{job['number']}.*"):
                path.unlink()
    assert sorted(answered) == list(range(CLIPS))
    good = [answered[number] for number in range(EVERY - 1, CLIPS, EVERY)]
    assert all(one == good[0] and one["frames"]["count"] == 4 for one in good)
    reasons = [one[kind]["reason"] for one in answered.values() for kind in one]
    kinds = Counter("decoded" if reason is None else reason.split(" (")[0] for reason in reasons)
    print(dict(kinds.most_common()))
    assert 0 < kinds["decoded"] < len(reasons)

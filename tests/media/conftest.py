"""Writes the clips that the tests of this folder read: real files, by PyAV."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

FPS = Fraction(24000, 1001)
Write = Callable[..., Path]


def encode_clip(
    path: Path,
    frames: int = 40,
    codec: str | None = "libx264",
    layout: str | None = "stereo",
    shape: tuple[int, int] = (96, 160),
    seed: int = 0,
    options: dict[str, str] | None = None,
) -> None:
    """Writes a clip of moving tiles and noise; None leaves a track out."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(codec, rate=FPS, options=options or {}) if codec else None
        audio: Any = container.add_stream("aac", rate=48000, layout=layout) if layout else None
        if video is not None:
            video.width, video.height, video.pix_fmt = shape[1], shape[0], "yuv420p"
            still = rng.integers(0, 255, (shape[0] // 8, shape[1] // 8, 3))
            for number in range(frames):
                moved = np.kron(np.roll(still, number, 1), np.ones((8, 8, 1))).astype(np.uint8)
                container.mux(video.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
            container.mux(video.encode(None))
        if audio is not None and layout is not None:
            channels = len(av.AudioLayout(layout).channels)
            sound = rng.normal(0, 0.1, (channels, round(48000 * frames / float(FPS)))).astype(
                np.float32
            )
            for start in range(0, sound.shape[1], 1024):
                piece = np.ascontiguousarray(sound[:, start : start + 1024])
                frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
                frame.sample_rate, frame.pts = 48000, start
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))


@pytest.fixture
def write_clip(tmp_path: Path) -> Write:
    """write_clip(name, frames=40, codec="libx264", layout="stereo", ...) -> path: see
    encode_clip."""

    def write(name: str, **options: Any) -> Path:
        encode_clip(tmp_path / name, **options)
        return tmp_path / name

    return write

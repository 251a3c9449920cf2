"""Frames and waveforms of utterances in the few bytes that a page has room for.

Reads decoded clips, writes nothing. Used by page/explorer.py; read by the page's clips.js.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from meld_lightning.media import Media

FRAMES = 3  # frames of each clip, evenly spaced
SIDE = 112  # pixels
QUALITY = 60  # JPEG quality
BINS = 100  # bins of a waveform


@dataclass(frozen=True)
class ClipData:
    """strips: for each utterance its frames side by side, as a data URI of JPEG; "" if none.

    waveforms: the least and the greatest sample of each bin (N, bins, 2), 0 to 255 for -1 to 1
        times the utterance's loudest sample, as base64 of uint8; zeros if there is no sound.
    """

    strips: list[str]
    bins: int
    waveforms: str


def clip_data(media: Media, rows: Sequence[int]) -> ClipData:
    """The clips of these rows of the corpus table."""
    none, kept = np.empty(0), media.settings["keep"]
    waveforms = np.stack(
        [_waveform(media.waveform(row) if "audio" in kept else none) for row in rows]
    )
    return ClipData(
        [_strip(media.frames(row)) if "frames" in kept else "" for row in rows],
        BINS,
        base64.b64encode(waveforms.tobytes()).decode(),
    )


def _strip(frames: np.ndarray) -> str:
    """A few of the frames (F, size, size, 3) in one picture."""
    if not len(frames):
        return ""
    number = min(FRAMES, len(frames))
    chosen = np.linspace(0, len(frames) - 1, number).round().astype(int)
    strip = Image.new("RGB", (number * SIDE, SIDE))
    for place, frame in enumerate(chosen):
        picture = Image.fromarray(np.asarray(frames[frame])).resize((SIDE, SIDE))
        strip.paste(picture, (place * SIDE, 0))
    file = io.BytesIO()
    strip.save(file, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _waveform(samples: np.ndarray) -> np.ndarray:
    """Least and greatest sample of each bin, uint8 (bins, 2)."""
    loudest = float(np.abs(samples).max()) if len(samples) else 0.0
    if not loudest:
        return np.zeros((BINS, 2), np.uint8)
    edges = np.linspace(0, len(samples), BINS + 1).astype(int)
    parts = [samples[start : max(end, start + 1)] for start, end in pairwise(edges)]
    ends = np.array([[part.min(), part.max()] for part in parts]) / loudest
    return np.rint((ends + 1) * 127.5).astype(np.uint8)

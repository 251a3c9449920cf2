"""Divides long clips into windows, at silences or at fixed intervals.

Reads clips with PyAV, in pieces: an hour of sound takes no more memory than a minute. Used by the
command `predict`; media/store.py decodes each window separately.

Silence is found in the energy of frames of FRAME_S: a frame is silent if its root mean square is
30 dB (SILENCE_DB) or more below the 95th percentile of the clip's frames, or below -60 dB of full
scale (FLOOR_DB). A pause of at least PAUSE_S separates two windows; each keeps PAD_S of it.
Speech longer than LONGEST_S is divided into equal windows. Sound shorter than SHORTEST_S between
two pauses, such as a click, is left out.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from meld_lightning.errors import UserError
from meld_lightning.inference.items.table import as_items
from meld_lightning.media.errors import MediaError
from meld_lightning.media.parts import clip_seconds
from meld_lightning.media.waveform import iter_waveform

log = logging.getLogger(__name__)

RATE = 16000  # samples per second of the sound that is searched for silence
FRAME_S = 0.02
SILENCE_DB, FLOOR_DB = -30.0, -60.0
PAUSE_S, PAD_S = 0.4, 0.1
SHORTEST_S, LONGEST_S = 0.3, 15.0
MIN_WINDOW_S, MAX_WINDOW_S = 0.1, 3600.0
MOST = 20_000  # windows per clip

Window = tuple[float, float]  # start and end, seconds
Windows = Literal["silence"] | float


def windows_setting(value: object) -> Windows | None:
    """The checked value of the key `windows`: None, "silence" or a number of seconds; UserError for
    anything else."""
    if value is None or value == "silence":
        return None if value is None else "silence"
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = math.nan
    if isinstance(value, bool) or not MIN_WINDOW_S <= seconds <= MAX_WINDOW_S:
        raise UserError(
            f"windows={value}: expected silence, or {MIN_WINDOW_S:g} to {MAX_WINDOW_S:g} seconds"
        )
    return seconds


def in_windows(items: pd.DataFrame, windows: Windows) -> pd.DataFrame:
    """The items with each clip divided into windows: one row per window, with `start` and `end`.

    A window's id consists of the clip's id and the time, such as "a.mp4 [0:05.0-0:09.5]". Items
    without a clip or sound, and clips that make fewer than two windows, are not changed. Nor are
    clips that cannot be read; decoding gives the reason.

    Raises UserError if a clip with several windows has a text.
    """
    rows: list[dict[str, Any]] = []
    for item in items.to_dict("records"):
        found = _windows_of(item, windows)
        if len(found) < 2:
            rows.append(item)
            continue
        if item["text"] is not None:
            raise UserError(
                f"{item['id']}: its text belongs to the clip as a whole, which has {len(found)}"
                " windows; leave out windows, or the text (asr=MODEL transcribes each window)"
            )
        log.info("%s: %d windows", item["id"], len(found))
        rows += [
            item | {"id": f"{item['id']} [{clock(start)}-{clock(end)}]", "start": start, "end": end}
            for start, end in found
        ]
    return as_items(rows)


def clock(seconds: float) -> str:
    """Minutes and seconds to a tenth, rounded down: 65.25 -> "1:05.2", 3665 -> "1:01:05.0"."""
    tenths = int(seconds * 10 + 1e-6)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{tenths // 10:02d}.{tenths % 10}"


def fixed_windows(length: float, seconds: float) -> list[Window]:
    """Adjacent windows of `seconds`. The last one ends with the clip and may be up to half shorter
    or half longer than the others."""
    count = max(1, math.floor(length / seconds + 0.5))
    if count > MOST:
        raise UserError(
            f"windows={seconds:g}: {count:,} windows for a clip that states {length / 3600:.1f}"
            f" hours, expected at most {MOST:,}; give more seconds, or check the clip"
        )
    edges = [round(number * seconds, 3) for number in range(count)] + [length]
    return list(itertools.pairwise(edges))


def speech_windows(pieces: Iterable[np.ndarray], rate: int = RATE) -> list[Window]:
    """The windows between the pauses of a waveform, which is given in pieces, float32 (T,)."""
    level = _levels(pieces, round(FRAME_S * rate))
    if not len(level):
        return []
    loud = 20 * np.log10(np.percentile(level, 95) + 1e-12)
    threshold = 10 ** (max(loud + SILENCE_DB, FLOOR_DB) / 20)
    spans = [(first * FRAME_S, (last + 1) * FRAME_S) for first, last in _runs(level > threshold)]
    joined: list[Window] = []
    for start, end in spans:
        if joined and start - joined[-1][1] < PAUSE_S:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    length = len(level) * FRAME_S
    padded = [
        (max(start - PAD_S, 0.0), min(end + PAD_S, length))
        for start, end in joined
        if end - start >= SHORTEST_S
    ]
    return [window for span in padded for window in _divided(*span)]


def _windows_of(item: dict[str, Any], windows: Windows) -> list[Window]:
    source = item["audio"] or item["clip"]
    if source is None or not math.isnan(item["start"]):
        return []
    try:
        if windows != "silence":
            return fixed_windows(clip_seconds(Path(item["clip"] or source)), float(windows))
        return speech_windows(iter_waveform(source, RATE, "center", keep_cut=True))
    except MediaError as error:
        log.warning("%s: not divided into windows (%s)", item["id"], error.reason)
        return []


def _divided(start: float, end: float) -> list[Window]:
    count = max(1, math.ceil((end - start) / LONGEST_S))
    edges = np.linspace(start, end, count + 1).round(3).tolist()
    return list(itertools.pairwise(edges))


def _levels(pieces: Iterable[np.ndarray], size: int) -> np.ndarray:
    """The root mean square of each frame of `size` samples (F,)."""
    found = [np.sqrt((frames_FT**2).mean(1)) for frames_FT in _framed(pieces, size)]
    return np.concatenate(found) if found else np.zeros(0)


def _framed(pieces: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The pieces as frames (F, size); samples at the end that fill no frame are left out."""
    rest = np.zeros(0, np.float32)
    for piece in pieces:
        rest = np.concatenate([rest, piece])
        count = len(rest) // size
        if count:
            yield rest[: count * size].reshape(count, size).astype(np.float64)
            rest = rest[count * size :]


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]

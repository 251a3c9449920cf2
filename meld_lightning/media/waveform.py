"""Decodes the sound of a clip to mono float32, resampled as ffmpeg does it.

Reads a video or audio file with PyAV; writes nothing. Used by worker.py and from Python. Samples
that are not finite are replaced by silence before the resampler spreads them, and counted; a clip
with too many of them has no sound.

Axes: T samples, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from meld_lightning.media.errors import MediaError
from meld_lightning.media.frames import OPEN

if TYPE_CHECKING:
    import av

Channels = Literal["center", "mean"]
# No PCM format has a larger full scale. A float beyond it is no sound, and its square, of which
# spectra are made, could overflow.
MAX_SAMPLE = 2.0**31
MAX_SHARE = 0.1  # of samples that are not finite; with more of them a clip has no sound


@dataclass
class SampleCounts:
    """How many samples of all channels were decoded, and how many of them are not finite or beyond
    MAX_SAMPLE. Integer formats, which can hold neither, are not counted."""

    decoded: int = 0
    not_finite: int = 0


def read_waveform(path: str | Path, rate: int = 16000, channels: Channels = "center") -> np.ndarray:
    """The sound of `path`: float32 (T,) at `rate` samples per second.

    channels: `center` takes the front centre channel if there is one (in 5.1 sound it contains the
        dialogue, which the mean would drown out), else ffmpeg's own down-mix (`-ac 1`); `mean`
        takes the mean of all channels.

    Raises MediaError if there is no sound, if any part of it cannot be decoded, or if more than
    MAX_SHARE of its samples are not finite; fewer are replaced by 0.
    """
    pieces = list(iter_waveform(path, rate, channels))
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def iter_waveform(
    path: str | Path, rate: int, channels: Channels, counts: SampleCounts | None = None
) -> Iterator[np.ndarray]:
    """The waveform of `read_waveform` in pieces; adds to `counts` what it replaces."""
    import av

    counts = counts or SampleCounts()
    try:
        with av.open(str(path), options=OPEN) as container:
            if not container.streams.audio:
                raise MediaError(path, "no audio track")
            stream = container.streams.audio[0]
            stream.codec_context.thread_count = 1
            resampler, pick = None, None
            for frame in container.decode(stream):
                if resampler is None:
                    resampler, pick = _resampler(frame, rate, channels)
                _silence_not_finite(frame, counts)
                yield from (_mono(one, pick) for one in resampler.resample(frame))
            if resampler is None:
                raise MediaError(path, "its audio track is empty")
            yield from (_mono(one, pick) for one in resampler.resample(None))
            if counts.not_finite > MAX_SHARE * counts.decoded:
                raise MediaError(
                    path, f"{counts.not_finite} of {counts.decoded} samples are not finite numbers"
                )
    except FileNotFoundError:
        raise MediaError(path, "no such file") from None
    except (av.error.FFmpegError, OSError) as error:
        said = str(getattr(error, "strerror", None) or error).splitlines()[0]
        raise MediaError(path, f"cannot be decoded ({said})") from error


def _resampler(
    frame: av.AudioFrame, rate: int, channels: Channels
) -> tuple[av.AudioResampler, int | None]:
    """A resampler, and the channel of its output to use; None for the mean of all."""
    import av

    names = [channel.name for channel in frame.layout.channels]
    if channels == "center" and "FC" not in names:
        return av.AudioResampler(format="fltp", layout="mono", rate=rate), 0
    pick = names.index("FC") if channels == "center" else None
    return av.AudioResampler(format="fltp", layout=frame.layout, rate=rate), pick


def _silence_not_finite(frame: av.AudioFrame, counts: SampleCounts) -> None:
    """Replaces what is not finite in a frame of floats by 0, in place."""
    dtype = {"flt": np.float32, "dbl": np.float64}.get(frame.format.packed.name)
    if dtype is None:
        return
    # a plane may be longer than its samples, with anything behind them
    count = frame.samples if frame.format.is_planar else frame.samples * frame.layout.nb_channels
    for plane in frame.planes:
        samples = np.frombuffer(memoryview(plane), dtype, count)
        valid = np.abs(samples) <= MAX_SAMPLE  # False for NaN
        counts.decoded += len(samples)
        if not valid.all():
            counts.not_finite += int((~valid).sum())
            samples[~valid] = 0


def _mono(frame: av.AudioFrame, pick: int | None) -> np.ndarray:
    planes_CT = frame.to_ndarray()
    return np.asarray(planes_CT.mean(0) if pick is None else planes_CT[pick], dtype=np.float32)

"""Decodes the sound of a clip to mono float32, resampled as ffmpeg does it.

Reads a video or audio file with PyAV; writes nothing. Used by worker.py and from Python.

Axes: T samples, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from meld_lightning.media.errors import MediaError
from meld_lightning.media.frames import OPEN

if TYPE_CHECKING:
    import av

Channels = Literal["center", "mean"]


def read_waveform(path: str | Path, rate: int = 16000, channels: Channels = "center") -> np.ndarray:
    """The sound of `path`: float32 (T,) at `rate` samples per second.

    channels: `center` takes the front centre channel if there is one (in 5.1 sound it contains the
        dialogue, which the mean would drown out), else ffmpeg's own down-mix (`-ac 1`); `mean`
        takes the mean of all channels.

    Raises MediaError if there is no sound or any part of it cannot be decoded.
    """
    pieces = list(iter_waveform(path, rate, channels))
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def iter_waveform(path: str | Path, rate: int, channels: Channels) -> Iterator[np.ndarray]:
    """The waveform of `read_waveform` in pieces."""
    import av

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
                yield from (_mono(one, pick) for one in resampler.resample(frame))
            if resampler is None:
                raise MediaError(path, "its audio track is empty")
            yield from (_mono(one, pick) for one in resampler.resample(None))
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


def _mono(frame: av.AudioFrame, pick: int | None) -> np.ndarray:
    planes_CT = frame.to_ndarray()
    return np.asarray(planes_CT.mean(0) if pick is None else planes_CT[pick], dtype=np.float32)

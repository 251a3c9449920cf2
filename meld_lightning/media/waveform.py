"""Decodes the sound of a clip to mono float32, resampled as ffmpeg does it.

Reads a video or audio file with PyAV; writes nothing. Used by worker.py and from Python.

As in ffmpeg, packets that fail to decode are dropped, and a new resampler takes over where the
layout, the rate or the format of the samples changes. Samples that are not finite are replaced by
silence before the resampler spreads them; a clip with too many of them has no sound. What is
dropped or replaced is counted.

Axes: T samples, C channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from meld_lightning.media.errors import MediaError
from meld_lightning.media.frames import OPEN, said
from meld_lightning.media.lengths import PacketReader
from meld_lightning.media.losses import Losses
from meld_lightning.media.parts import Part, PartReader, SampleTrim, packet_reader
from meld_lightning.media.tracks import audio_track

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream

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


def read_waveform(
    path: str | Path, rate: int = 16000, channels: Channels = "center", keep_cut: bool = False
) -> np.ndarray:
    """The sound of `path`: float32 (T,) at `rate` samples per second.

    Args:
        path: a video or sound file.
        rate: samples per second of what is returned.
        channels: `center` takes the front centre channel if there is one (in 5.1 sound it contains
            the dialogue, which the mean would drown out), else ffmpeg's own down-mix (`-ac 1`);
            `mean` takes the mean of all channels.
        keep_cut: of a file that ends before its header says, keep what there is.

    Raises MediaError if there is no sound, if none of it can be decoded, if the file is cut short
    and keep_cut is false, or if more than MAX_SHARE of its samples are not finite; fewer are
    replaced by 0.
    """
    pieces = list(iter_waveform(path, rate, channels, keep_cut))
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def iter_waveform(
    path: str | Path,
    rate: int,
    channels: Channels,
    keep_cut: bool = False,
    counts: SampleCounts | None = None,
    losses: Losses | None = None,
    part: Part | None = None,
) -> Iterator[np.ndarray]:
    """The waveform of `read_waveform`, or a part of it, in pieces; adds to `counts` what it
    replaces, and sets `losses`."""
    import av

    counts, losses = counts or SampleCounts(), losses or Losses()
    try:
        with av.open(str(path), options=OPEN) as container:
            stream = audio_track(container, path)
            reader = packet_reader(container, stream, path, part)
            mixer, trim = _Mixer(rate, channels), SampleTrim(reader, rate)
            for frame in _decoded(stream, reader, losses):
                trim.start_at(frame)
                _silence_not_finite(frame, counts)
                yield from map(trim.keep, mixer.mix(frame))
            losses.cut = reader.check(keep_cut)
            if mixer.source is None and part is None:
                raise MediaError(path, "its audio track is empty")
            yield from map(trim.keep, mixer.rest())
            if counts.not_finite > MAX_SHARE * counts.decoded:
                raise MediaError(
                    path,
                    f"{counts.not_finite} of {counts.decoded} samples are not finite or beyond"
                    " 2^31",
                )
    except FileNotFoundError:
        raise MediaError(path, "no such file") from None
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(path, f"cannot be decoded ({said(error)})") from error


def _decoded(
    stream: AudioStream, reader: PacketReader | PartReader, losses: Losses
) -> Iterator[av.AudioFrame]:
    """The frames of a track, without the packets that fail; raises the last one's error if all of
    them do."""
    import av

    failed: Exception | None = None
    count = 0
    for packet in itertools.chain(reader, [None]):  # None flushes the decoder
        try:
            frames = stream.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            losses.dropped, failed = losses.dropped + (packet is not None), error
            continue
        count += len(frames)
        yield from frames
    losses.packets = reader.packets
    if failed is not None and not count:
        raise failed


class _Mixer:
    """Mixes frames to one channel at one rate, with a new resampler wherever the layout, the rate
    or the format of the frames changes."""

    def __init__(self, rate: int, channels: Channels) -> None:
        self.rate, self.channels = rate, channels
        self.source: tuple[str, str, int] | None = None
        self.pick: int | None = None  # the channel of the resampler's output; None: their mean
        self.resampler: av.AudioResampler | None = None

    def mix(self, frame: av.AudioFrame) -> Iterator[np.ndarray]:
        source = (frame.layout.name, frame.format.name, frame.sample_rate)
        if source != self.source:
            # what the last resampler holds, about a millisecond, is dropped as ffmpeg drops it
            self.source = source
            self.resampler, self.pick = _resampler(frame, self.rate, self.channels)
        assert self.resampler is not None
        yield from (_mono(one, self.pick) for one in self.resampler.resample(frame))

    def rest(self) -> Iterator[np.ndarray]:
        """What the resampler still holds."""
        if self.resampler is not None:
            yield from (_mono(one, self.pick) for one in self.resampler.resample(None))


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
    dtypes: dict[str, type[np.floating[Any]]] = {"flt": np.float32, "dbl": np.float64}
    dtype = dtypes.get(frame.format.packed.name)
    if dtype is None:
        return
    for samples in _planes(frame, dtype):
        valid = np.abs(samples) <= MAX_SAMPLE  # False for NaN
        counts.decoded += len(samples)
        if not valid.all():
            counts.not_finite += int((~valid).sum())
            samples[~valid] = 0


def _mono(frame: av.AudioFrame, pick: int | None) -> np.ndarray:
    """One channel (T,) of a planar frame of floats, or the mean of all."""
    planes = _planes(frame, np.float32)
    return np.stack(planes).mean(0) if pick is None else planes[pick].copy()


def _planes(frame: av.AudioFrame, dtype: type[np.floating[Any]]) -> list[np.ndarray]:
    """The samples of each plane, not copied: one channel, or all of them if they are interleaved.

    PyAV counts one plane too many where there are 8 channels, and reading that one crashes. A plane
    may also be longer than its samples, with anything behind them.
    """
    channels, planar = frame.layout.nb_channels, frame.format.is_planar
    planes = frame.planes[: channels if planar else 1]
    count = frame.samples * (1 if planar else channels)
    return [np.frombuffer(memoryview(plane), dtype, count) for plane in planes]

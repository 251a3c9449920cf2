"""Decodes a part of a clip, between two times, without decoding what comes before it.

Times are seconds from the start of the file, as a player shows them. Decoding starts at
the last key frame before the part and stops behind its end: memory and time depend on the part's
length, not on the clip's. Used by frames.py and waveform.py; worker.py is given the parts.

Whether the file is cut short is not checked: a part lies before the cut, or has nothing in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meld_lightning.media.errors import MediaError
from meld_lightning.media.lengths import PacketReader

if TYPE_CHECKING:
    import av
    from av import Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Decoders of sound need the packets before the first sample, and resamplers a few milliseconds.
PREROLL_S = 0.5
# Containers whose index leads to a key frame and to its exact time. Others, such as AVI and MPEG
# transport streams, are read, though not decoded, from their start. AVI stores no times of frames:
# a part of it may start a frame early.
INDEXED = {"mov", "matroska", "wav", "flac"}


@dataclass(frozen=True)
class Part:
    """A part of a clip: from `start` to just before `end`, in seconds."""

    start: float
    end: float


class PartReader:
    """Reads the packets that one part of a track needs; in place of a PacketReader."""

    def __init__(
        self, container: InputContainer, track: VideoStream | AudioStream, part: Part
    ) -> None:
        self.container, self.track, self.part = container, track, part
        self.packets = 0  # those that were read
        self._origin = (container.start_time or 0) / 1e6  # libavformat counts microseconds

    def __iter__(self) -> Iterator[Packet]:
        """The packets with data, from the last one before the part that can be decoded alone to the
        end of the part. An error of the file ends them, as in ffmpeg."""
        import av

        first = max(self.part.start - (PREROLL_S if self.track.type == "audio" else 0), 0.0)
        if first and self.track.time_base and INDEXED & set(self.container.format.name.split(",")):
            place = int((first + self._origin) / self.track.time_base)
            with contextlib.suppress(av.error.FFmpegError):  # without an index: from the start
                self.container.seek(place, stream=self.track)
        packets = self.container.demux(self.track)
        waiting: list[Packet] = []  # since the last key frame before the part
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:
                packet = None
            # frames are shown no earlier than they are decoded
            time = None if packet is None else packet.pts if packet.dts is None else packet.dts
            if packet is None or (time is not None and self.seconds(time) >= self.part.end):
                yield from self._counted(waiting)
                return
            if not packet.size:
                continue
            if packet.is_keyframe and (packet.pts is None or self.seconds(packet.pts) <= first):
                waiting = []
            waiting.append(packet)
            if time is not None and self.seconds(time) >= first:
                yield from self._counted(waiting)
                waiting = []

    def _counted(self, packets: Sequence[Packet]) -> Iterator[Packet]:
        self.packets += len(packets)
        yield from packets

    def check(self, keep_cut: bool) -> None:
        """Nothing: see the module's docstring."""

    def seconds(self, pts: int) -> float:
        """Seconds from the start of the file."""
        return float(pts * (self.track.time_base or 0)) - self._origin

    def holds(self, pts: int | None) -> bool:
        """Whether the part holds what is shown at `pts`."""
        return pts is not None and self.part.start <= self.seconds(pts) < self.part.end


def packet_reader(
    container: InputContainer,
    track: VideoStream | AudioStream,
    path: str | Path,
    part: Part | None,
) -> PacketReader | PartReader:
    """Reads the packets of a track, or those that a part of it needs."""
    if part is None:
        return PacketReader(container, track, path)
    return PartReader(container, track, part)


def holds(reader: PacketReader | PartReader, pts: int | None) -> bool:
    """Whether what is shown at `pts` is wanted: always, unless the reader reads a part."""
    return not isinstance(reader, PartReader) or reader.holds(pts)


class SampleTrim:
    """Keeps those samples of a waveform that belong to a part; all of them without one."""

    def __init__(self, reader: PacketReader | PartReader, rate: int) -> None:
        self._reader, self._rate = reader, rate
        self._span: tuple[int, int] | None = None  # of the samples to keep
        self._seen = 0

    def start_at(self, frame: av.AudioFrame) -> None:
        """To be called with each decoded frame; the first gives the time of the first sample."""
        if self._span is None and isinstance(self._reader, PartReader):
            part = self._reader.part
            time = part.start if frame.pts is None else self._reader.seconds(frame.pts)
            begin, end = (round((edge - time) * self._rate) for edge in (part.start, part.end))
            self._span = max(begin, 0), max(end, 0)

    def keep(self, samples: np.ndarray) -> np.ndarray:
        """Those of the next samples that belong to the part."""
        if self._span is None:
            return samples
        begin, end = (max(edge - self._seen, 0) for edge in self._span)
        self._seen += len(samples)
        return samples[begin:end]


def clip_seconds(path: str | Path) -> float:
    """How long the clip is by its header, or by its packets where the header does not say. Raises
    MediaError if it cannot be opened."""
    import av

    try:
        with av.open(str(path), options={"skip_frame": "all"}) as container:
            if container.duration is not None and container.duration > 0:
                return container.duration / 1e6
            origin, end = (container.start_time or 0) / 1e6, 0.0
            for packet in container.demux():
                if packet.pts is not None and packet.time_base:
                    ends = (packet.pts + (packet.duration or 0)) * packet.time_base
                    end = max(end, float(ends) - origin)
            return end
    except FileNotFoundError:
        raise MediaError(path, "no such file") from None
    except (av.error.FFmpegError, OSError) as error:
        said = str(error.strerror or error).splitlines()[0]
        raise MediaError(path, f"cannot be decoded ({said})") from error

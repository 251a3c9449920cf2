"""Decodes every Nth frame of a clip, resized and cropped as CLIP's own processor does it.

Reads a video file with PyAV; writes nothing. Used by worker.py, by strips in the report and from
Python. Frames are numbered as ffmpeg's `select` filter numbers them: in presentation order,
counting those that ffmpeg decodes. Packets that an edit list discards yield none, nor do packets
that fail to decode, or that depend on others from before a cut.

H.264 frames that are neither wanted nor referenced by others are not decoded, which saves most of
the time on clips with B-frames. That needs a stream without errors; at the first error the file is
read again from the start, and all of it decoded.

Axes: F frames, S pixels a side.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meld_lightning.media.errors import MediaError
from meld_lightning.media.losses import Losses
from meld_lightning.media.orientation import upright
from meld_lightning.media.parts import Part, holds, packet_reader
from meld_lightning.media.tracks import video_track

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

# Otherwise opening a file decodes its first frames, to guess what the header says anyway.
OPEN = {"skip_frame": "all"}
# explode: report errors instead of concealing them. strict: if the stream does not say how many
# frames may be reordered, assume as many as the standard allows instead of guessing.
STRICT_H264 = {"err_detect": "explode", "strict": "1"}
# Packets of a track with more bytes than this are read a second time rather than kept in memory.
KEPT_BYTES = 1 << 26


class _UnplannableError(Exception):
    """Not every packet of a stream becomes a frame, so that their times do not tell which frames
    are wanted."""


def read_frames(
    path: str | Path, every: int = 10, size: int = 224, keep_cut: bool = False
) -> np.ndarray:
    """Frames 0, every, 2 * every ... of `path`: uint8 (F, size, size, 3), RGB.

    Args:
        path: a video file.
        every: keep the first frame and every Nth after it.
        size: pixels per side; the shorter side is resized, then the centre is cropped.
        keep_cut: decode what is left of a file that ends before its header says.

    Raises MediaError if there is no video, if none of it can be decoded, or if the file is cut
    short and keep_cut is false.
    """
    frames = list(iter_frames(path, every, size, keep_cut))
    return np.stack(frames) if frames else np.zeros((0, size, size, 3), np.uint8)


def iter_frames(
    path: str | Path,
    every: int,
    size: int | None,
    keep_cut: bool = False,
    losses: Losses | None = None,
    part: Part | None = None,
) -> Iterator[np.ndarray]:
    """The frames of `read_frames` one at a time, so that a long clip needs no more memory than a
    short one; sets `losses`. size: None leaves them as large as they are. part: the first frame of
    that part and every Nth after it."""
    for frame in wanted_frames(path, every, keep_cut, losses, part):
        yield upright(frame) if size is None else fit(upright(frame), size)


def fit(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 RGB (height, width, 3) -> (size, size, 3): the shorter side resized to `size`, then the
    centre cropped.

    The same as transformers' CLIPImageProcessor with `shortest_edge` and a centre crop of the same
    size (bicubic), in one step that computes only the pixels it keeps.
    """
    from PIL import Image

    height, width = image.shape[:2]
    short = min(height, width)
    new_height, new_width = int(size * height / short), int(size * width / short)
    top, left = (new_height - size) // 2, (new_width - size) // 2
    down, across = height / new_height, width / new_width
    box = (left * across, top * down, (left + size) * across, (top + size) * down)
    whole = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(whole.resize((size, size), Image.Resampling.BICUBIC, box=box))


def wanted_frames(
    path: str | Path,
    every: int,
    keep_cut: bool = False,
    losses: Losses | None = None,
    part: Part | None = None,
) -> Iterator[av.VideoFrame]:
    """Every Nth frame, of the clip or of a part of it, as decoded."""
    import av

    losses, given = losses or Losses(), 0
    try:
        try:
            for frame in _of_intact_stream(path, every, keep_cut, losses, part):
                yield frame
                given += 1
        except _UnplannableError:
            # what was given so far, up to the first error, is the same
            for place, frame in enumerate(_of_any_stream(path, every, losses, part)):
                if place >= given:
                    yield frame
    except FileNotFoundError:
        raise MediaError(path, "no such file") from None
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(path, f"cannot be decoded ({said(error)})") from error


def said(error: Exception) -> str:
    """The first line of an error of FFmpeg."""
    return str(getattr(error, "strerror", None) or error).splitlines()[0]


def _of_intact_stream(
    path: str | Path, every: int, keep_cut: bool, losses: Losses, part: Part | None
) -> Iterator[av.VideoFrame]:
    """The wanted frames of a stream in which every packet becomes a frame; raises _UnplannableError
    at the first sign that one does not."""
    import av

    with av.open(str(path), options=OPEN) as container:
        stream = video_track(container, path)
        reader = packet_reader(container, stream, path, part)
        listed, kept = _list_packets(reader)
        losses.cut = reader.check(keep_cut)
        losses.packets = len(listed)
        if not listed and part is None:
            raise MediaError(path, "its video track is empty")
        shown = [pts for pts, discarded in listed if not discarded and holds(reader, pts)]
        times = sorted(pts for pts in shown if pts is not None)
        if (
            stream.codec_context.name != "h264"  # in others "non-reference" frames may be needed
            or len(set(times)) != len(shown)
        ):
            raise _UnplannableError
        wanted = times[::every]
        set_wanted = set(wanted)
        last = max((n for n, (pts, _) in enumerate(listed) if pts in set_wanted), default=-1)
        if kept is not None:
            yield from _planned(stream, kept[: last + 1], wanted)
    if kept is None:
        with av.open(str(path), options=OPEN) as container:
            stream = video_track(container, path)
            packets = itertools.islice(packet_reader(container, stream, path, part), last + 1)
            yield from _planned(stream, packets, wanted)


def _list_packets(
    packets: Iterable[av.Packet],
) -> tuple[list[tuple[int | None, bool]], list[av.Packet] | None]:
    """For each packet its presentation time and whether its frame is discarded; and the packets
    themselves, None if they have more than KEPT_BYTES."""
    listed = []
    kept: list[av.Packet] | None = []
    size = 0
    for packet in packets:
        listed.append((packet.pts, packet.is_discard))
        size += packet.size
        if kept is not None and size <= KEPT_BYTES:
            kept.append(packet)
        else:
            kept = None
    return listed, kept


def _planned(
    stream: VideoStream, packets: Iterable[av.Packet], wanted: Sequence[int]
) -> Iterator[av.VideoFrame]:
    """The frames with the wanted presentation times, decoding as few others as possible.

    packets: up to the last one of a wanted frame.
    """
    import av

    context, set_wanted, left = stream.codec_context, set(wanted), list(wanted[::-1])
    context.options = dict(STRICT_H264)
    for packet in itertools.chain(packets, [None]):  # None flushes the decoder
        if packet is not None:
            context.skip_frame = "DEFAULT" if packet.pts in set_wanted else "NONREF"
        try:
            frames = context.decode(packet)
        except av.error.FFmpegError:
            raise _UnplannableError from None
        for frame in frames:
            if frame.is_corrupt or (left and (frame.pts is None or frame.pts > left[-1])):
                raise _UnplannableError
            if left and frame.pts == left[-1]:
                left.pop()
                yield frame
    if left:
        raise _UnplannableError


def _of_any_stream(
    path: str | Path, every: int, losses: Losses, part: Part | None
) -> Iterator[av.VideoFrame]:
    """Every Nth of the frames that plain ffmpeg decodes; counts what it drops."""
    import av

    with av.open(str(path)) as container:
        stream = video_track(container, path)
        losses.dropped = losses.damaged = count = 0
        failed: Exception | None = None
        reader = packet_reader(container, stream, path, part)
        for packet in itertools.chain(reader, [None]):
            try:
                frames = stream.codec_context.decode(packet)
            except av.error.FFmpegError as error:
                losses.dropped, failed = losses.dropped + (packet is not None), error
                continue
            for frame in frames:
                if not holds(reader, frame.pts):
                    continue
                losses.damaged += frame.is_corrupt
                if count % every == 0:
                    yield frame
                count += 1
    if failed is not None and not count:
        raise MediaError(path, f"cannot be decoded ({said(failed)})")

"""Decodes every Nth frame of a clip, resized and cropped as CLIP's own processor does it.

Reads a video file with PyAV; writes nothing. Used by worker.py, by strips in the report and from
Python. Frames are numbered in presentation order, as in ffmpeg's `select` filter: packets that an
edit list discards are not counted. H.264 frames that are neither wanted nor referenced by others
are not decoded, which saves most of the time on clips with B-frames.

Axes: F frames, S pixels a side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meld_lightning.media.errors import MediaError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Otherwise opening a file decodes its first frames, to guess what the header says anyway.
OPEN = {"skip_frame": "all"}
# Otherwise a damaged stream decodes silently, to smeared frames.
STRICT = {"err_detect": "explode"}
# If the stream does not say how many frames may be reordered, assume as many as the standard allows
# instead of guessing.
STRICT_H264 = {**STRICT, "strict": "1"}


def read_frames(path: str | Path, every: int = 10, size: int = 224) -> np.ndarray:
    """Frames 0, every, 2 * every ... of `path`: uint8 (F, size, size, 3), RGB.

    Raises MediaError if there is no video or any part of it cannot be decoded.
    """
    frames = list(iter_frames(path, every, size))
    return np.stack(frames) if frames else np.zeros((0, size, size, 3), np.uint8)


def iter_frames(path: str | Path, every: int, size: int) -> Iterator[np.ndarray]:
    """The frames of `read_frames` one at a time, so that a long clip needs no more memory than a
    short one."""
    for frame in wanted_frames(path, every):
        upright = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        yield resize_and_crop(upright, size)


def resize_and_crop(image: np.ndarray, size: int) -> np.ndarray:
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


def wanted_frames(path: str | Path, every: int) -> Iterator[av.VideoFrame]:
    """Every Nth frame as decoded."""
    import av

    try:
        with av.open(str(path), options=OPEN) as container:
            stream = _video(container, path)
            packets = [packet for packet in container.demux(stream) if packet.size]
            if not packets:
                raise MediaError(path, "its video track is empty")
            if any(packet.is_corrupt for packet in packets) or len(packets) < stream.frames:
                raise MediaError(path, "truncated: frames are missing")
            times = [packet.pts for packet in packets if not packet.is_discard]
            ordered = sorted(time for time in times if time is not None)
            if len(set(ordered)) == len(times):
                yield from _planned(stream, packets, set(ordered[::every]), path)
            else:  # AVI and others without presentation times: count the decoded frames
                decoded = (
                    frame
                    for packet in [*packets, None]
                    for frame in stream.codec_context.decode(packet)
                )
                yield from (
                    _whole(frame, path) for place, frame in enumerate(decoded) if place % every == 0
                )
    except FileNotFoundError:
        raise MediaError(path, "no such file") from None
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(path, f"cannot be decoded ({_said(error)})") from error


def _video(container: InputContainer, path: str | Path) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not streams:
        raise MediaError(path, "no video track")
    context = streams[0].codec_context
    context.thread_count = 1  # clips are decoded side by side
    context.options = dict(STRICT_H264 if context.name == "h264" else STRICT)
    return streams[0]


def _planned(
    stream: VideoStream, packets: Sequence[av.Packet], wanted: set[int | None], path: str | Path
) -> Iterator[av.VideoFrame]:
    """The frames with the wanted presentation times, decoding as few others as possible."""
    context, left = stream.codec_context, len(wanted)
    last = max((place for place, packet in enumerate(packets) if packet.pts in wanted), default=-1)
    for packet in [*packets[: last + 1], None]:  # None flushes the decoder
        # not for HEVC, whose "non-reference" frames may be referenced after all
        if packet is not None and context.name == "h264":
            context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        for frame in context.decode(packet):
            if frame.pts in wanted:
                yield _whole(frame, path)
                left -= 1
    if left:
        raise MediaError(path, f"{left} of its frames cannot be decoded")


def _whole(frame: av.VideoFrame, path: str | Path) -> av.VideoFrame:
    if frame.is_corrupt:
        raise MediaError(path, "damaged: a frame has decoding errors")
    return frame


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0]

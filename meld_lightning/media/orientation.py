"""Turns and mirrors decoded frames as their display matrix says, as ffmpeg's `-autorotate` does.

Cameras store a frame as their sensor reads it, and a matrix that says how it is shown: phones turn
it by 90 degrees or more, selfie cameras mirror it as well. Used by frames.py and decord_frames.py.
The rules, including those for angles that are no multiples of 90 degrees, are those of ffmpeg's
configure_input_video_filter (fftools/ffmpeg_filter.c) and get_rotation (fftools/cmdutils.c).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    import av

FIXED_POINT = 1 << 16  # the first two columns of the matrix are 16.16 fixed-point numbers


def upright(frame: av.VideoFrame) -> np.ndarray:
    """A frame as it is shown: uint8 (height, width, 3), RGB.

    Angles other than multiples of 90 degrees are turned by ffmpeg's own `rotate` filter, which
    keeps the size of the frame and fills its corners with black; an angle of 1 degree is ignored.
    """
    matrix = display_matrix(frame)
    if matrix is None:
        return frame.to_ndarray(format="rgb24")
    turn = _clockwise(matrix)
    if turn is not None and turn > 1 and turn % 90:
        return _rotated(frame, turn).to_ndarray(format="rgb24")
    image = frame.to_ndarray(format="rgb24")
    if turn == 90:
        return image.swapaxes(0, 1) if matrix[3] > 0 else np.rot90(image, -1)
    if turn == 270:
        return np.rot90(image, 2).swapaxes(0, 1) if matrix[3] < 0 else np.rot90(image)
    if turn == 180 and matrix[0] < 0:
        image = image[:, ::-1]
    return image[::-1] if turn in (0, 180) and matrix[4] < 0 else image


def display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """The nine numbers of a frame's display matrix, row by row; None if it has none."""
    from av.sidedata.sidedata import SideDataContainer, Type

    # not frame.side_data: the frame would keep that container, which keeps the frame, and hundreds
    # of frames stay in memory until Python's collector of such circles runs
    side_data = cast("Any", SideDataContainer)(frame)  # its stub has no arguments
    found: dict[Any, Any] = {data.type: data for data in side_data}
    data = found.get(Type.DISPLAYMATRIX)
    return None if data is None else tuple(np.frombuffer(memoryview(data), np.int32, 9).tolist())


def is_plain_turn(matrix: tuple[int, ...]) -> bool:
    """Whether a matrix turns a frame by a multiple of 90 degrees and does not mirror it."""
    a, b, _, c, d = matrix[:5]
    return a * d - b * c > 0 and _clockwise(matrix) in (0, 90, 180, 270)


def _clockwise(matrix: tuple[int, ...]) -> int | None:
    """The angle in whole degrees, from 0 to 359, by which a matrix turns a frame clockwise; None if
    it is singular (av_display_rotation_get in libavutil/display.c)."""
    a, b, _, c, d = (value / FIXED_POINT for value in matrix[:5])
    across, down = math.hypot(a, c), math.hypot(b, d)
    if across == 0 or down == 0:
        return None
    return round(math.degrees(math.atan2(b / down, a / across))) % 360


def _rotated(frame: av.VideoFrame, turn: int) -> av.VideoFrame:
    from av.filter import Graph

    graph = Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base,
    )
    rotate = graph.add("rotate", f"{turn}*PI/180")
    sink = graph.add("buffersink")
    source.link_to(rotate)
    rotate.link_to(sink)
    graph.configure()
    graph.push(frame)
    return graph.vpull()

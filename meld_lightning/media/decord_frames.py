"""Decodes frames with decord instead of PyAV (media.decoder=decord); on ordinary clips the frames
and pixels are the same.

decord also counts frames that an edit list hides. Its count is therefore compared with the
container's, and a clip on which they differ is refused rather than sampled at the wrong places.
It turns frames, but does not mirror them; clips whose frames are mirrored are refused, too.
Used by worker.py. decord's audio is not sample-accurate and is not used.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from meld_lightning.errors import UserError, first_line
from meld_lightning.media.errors import MediaError
from meld_lightning.media.frames import fit
from meld_lightning.media.lengths import PacketReader
from meld_lightning.media.losses import Losses
from meld_lightning.media.orientation import display_matrix, is_plain_turn
from meld_lightning.media.tracks import video_track


def iter_frames_decord(
    path: str | Path,
    every: int,
    size: int | None,
    keep_cut: bool = False,
    losses: Losses | None = None,
) -> Iterator[np.ndarray]:
    """Frames 0, every, 2 * every ... like `iter_frames`; raises MediaError, and UserError if decord
    is not installed."""
    import av

    try:
        import decord
    except ImportError:
        raise UserError(
            "media.decoder=decord: decord is not installed; run: pip install"
            ' "meld-lightning[decord]"'
        ) from None
    if not Path(path).is_file():
        raise MediaError(path, "no such file")
    try:
        with av.open(str(path)) as container:
            packets = PacketReader(container, video_track(container, path), path)
            shown = sum(not packet.is_discard for packet in packets)
            cut = packets.check(keep_cut)
        _check_orientation(path)
        if losses:
            losses.cut, losses.packets = cut, packets.packets
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    except (av.error.FFmpegError, decord.DECORDError, OSError) as error:
        raise MediaError(path, f"cannot be decoded ({first_line(error)})") from error
    if len(reader) != shown:
        raise MediaError(
            path,
            f"decord finds {len(reader)} frames instead of {shown}; use media.decoder=pyav",
        )
    for place in range(0, shown, every):
        try:
            picture = reader[place].asnumpy()
            yield picture if size is None else fit(picture, size)
        except decord.DECORDError as error:
            raise MediaError(path, f"cannot be decoded ({first_line(error)})") from error


def _check_orientation(path: str | Path) -> None:
    """Raises MediaError if the display matrix of the first frame says more than decord does."""
    import av

    with av.open(str(path)) as container:
        frame = next(container.decode(video_track(container, path)), None)
        matrix = display_matrix(frame) if frame else None
        if matrix is not None and not is_plain_turn(matrix):
            raise MediaError(
                path,
                "decord does not mirror its frames or turn them so far; use media.decoder=pyav",
            )

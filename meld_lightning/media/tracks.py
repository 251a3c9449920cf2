"""Chooses the track of a clip that is decoded, as ffmpeg chooses it where no `-map` is given.

Used by frames.py, decord_frames.py and waveform.py. The scores are those of ffmpeg's
open_output_file (fftools/ffmpeg_opt.c) and av_find_best_stream's order of ties: a track that is
marked as default comes first, then the one with the most channels or pixels, then the first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from meld_lightning.media.errors import MediaError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

DEFAULT_BONUS = 5_000_000  # ffmpeg's, in pixels or channels


def video_track(container: InputContainer, path: str | Path) -> VideoStream:
    """The video track that ffmpeg would take; cover art does not count. Raises MediaError if
    there is none, or no decoder for it."""
    tracks = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not tracks:
        raise MediaError(path, "no video track")
    best = max(tracks, key=_video_score)
    if best.codec_context is None:
        raise MediaError(path, "no decoder for its video track")
    best.codec_context.thread_count = 1  # clips are decoded side by side
    return best


def audio_track(container: InputContainer, path: str | Path) -> AudioStream:
    """The audio track that ffmpeg would take. Raises MediaError if there is none, or no decoder for
    it."""
    if not container.streams.audio:
        raise MediaError(path, "no audio track")
    best = max(container.streams.audio, key=_audio_score)
    if best.codec_context is None:
        raise MediaError(path, "no decoder for its audio track")
    best.codec_context.thread_count = 1
    return best


def _video_score(stream: VideoStream) -> int:
    context = stream.codec_context
    return _bonus(stream) + (context.width * context.height if context else -DEFAULT_BONUS)


def _audio_score(stream: AudioStream) -> int:
    context = stream.codec_context
    return _bonus(stream) + (context.channels if context else -DEFAULT_BONUS)


def _bonus(stream: VideoStream | AudioStream) -> int:
    return DEFAULT_BONUS if stream.disposition & stream.disposition.default else 0

"""Writes the mini corpus's clips: small mp4 files in the folders and with the flaws of MELD's
archive.

Writes what flaws.py plans below one folder; used by corpus.py. A clip's bytes depend on its plan
alone.
"""

import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from meld_lightning.mini.faces import SIDE, Head, draw_face, planes
from meld_lightning.mini.flaws import Plan
from meld_lightning.mini.voices import RATE, speak

FPS = Fraction(24000, 1001)
SOUND_RATE = 48000
SURROUND_SHARE = 0.15  # of clips have 5.1 sound; MELD's 88 % would take too long to encode
STUB = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        ".ljust(
    212, b"\0"
)  # an AppleDouble header


def write_clips(root: Path, plans: Sequence[Plan], stubs: Sequence[str]) -> None:
    """Writes the file of every plan below `root`, with one thread per core, and the stubs."""
    for folder in {str(Path(name).parent) for name in (*stubs, *(plan.name for plan in plans))}:
        (root / folder).mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        written = pool.map(lambda plan: _write(root, plan), plans)
        list(
            tqdm(written, desc="clips", total=len(plans), unit="clip", disable=None, mininterval=1)
        )
    for name in stubs:
        (root / name).write_bytes(STUB)


def _write(root: Path, plan: Plan) -> None:
    path, stream = root / plan.name, random.Random(plan.seed)
    frames = max(1, round(plan.seconds * FPS))
    seconds = float(frames / FPS)
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        video = _video_track(container) if plan.face else None
        surround = stream.random() < SURROUND_SHARE
        audio = _audio_track(container, surround) if plan.voice else None
        if plan.face and video:
            for number, image in enumerate(_talking(plan.face, frames, stream)):
                frame = av.VideoFrame.from_ndarray(image, format="yuv420p")
                frame.pts = number
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if plan.voice and audio:
            _encode_sound(container, audio, speak(plan.voice, seconds, stream), surround, stream)
    if plan.headless:
        data = path.read_bytes()
        path.write_bytes(data[: data.rindex(b"moov") - 4])


def _talking(face: str, frames: int, stream: random.Random) -> Iterator[np.ndarray]:
    """The frames as yuv420p planes; the mouth moves at a pace that does not depend on the cue."""
    images = draw_face(Head.draw(stream), face, np.random.default_rng(stream.getrandbits(32)))
    faces = [planes(image) for image in images]
    pace, start = stream.uniform(2.5, 6), stream.random()
    for number in range(frames):
        open_ = abs(np.sin(np.pi * (start + number / float(FPS) * pace)))
        yield faces[round(open_ * (len(faces) - 1))]


def _video_track(container: "av.container.OutputContainer") -> "av.VideoStream":
    options = {
        "preset": "veryfast",
        "crf": "30",
        "threads": "1",
        # x264's macroblock tree reads memory that it has not written, at this size of picture: with
        # it, a few clips in a hundred depended on what the process had encoded before
        "x264-params": "threads=1:bframes=2:keyint=48:mbtree=0",
    }
    track = container.add_stream("libx264", rate=FPS, options=options)
    track.width = track.height = SIDE
    track.pix_fmt = "yuv420p"
    track.codec_context.thread_count = 1
    track.codec_context.time_base = 1 / FPS
    return track


def _audio_track(container: "av.container.OutputContainer", surround: bool) -> "av.AudioStream":
    track = container.add_stream(
        "aac",
        rate=SOUND_RATE,
        layout="5.1" if surround else "stereo",
        options={"aac_coder": "fast"},
    )
    track.bit_rate = 96000 if surround else 48000
    return track


def _encode_sound(
    container: "av.container.OutputContainer",
    track: "av.AudioStream",
    voice: np.ndarray,
    surround: bool,
    stream: random.Random,
) -> None:
    """The voice on both channels, or in the centre of six with noise on the others."""
    if surround:
        noise = (
            np.random.default_rng(stream.getrandbits(32))
            .normal(0, 0.02, (6, len(voice)))
            .astype(np.float32)
        )
        noise[2] = voice
        planes = noise
    else:
        planes = np.stack([voice, voice])
    layout = "5.1" if surround else "stereo"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    resampler = av.AudioResampler(
        format="fltp",
        layout=layout,
        rate=SOUND_RATE,
        frame_size=track.codec_context.frame_size or 1024,
    )
    for one in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(track.encode(one))
    container.mux(track.encode(None))

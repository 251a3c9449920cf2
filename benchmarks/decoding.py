"""CPU time of decoding a clip to every 10th frame at CLIP's 224x224 crop, beside other ways to the
same pixels.

    python benchmarks/decoding.py --durations clip_durations.csv

Five ways over the same clips, taken in turn, each in a process of its own:

    ours          media.read_frames, clip by clip
    opencv        OpenCV reads every frame and keeps each 10th; transformers' CLIPImageProcessor
                  does the rest, as its users call it: normalised and as a tensor, which ours leaves
                  to the model (pretrained/clip.py)
    opencv_uint8  the same without rescaling and normalising: exactly what ours gives
    decord        decord's get_batch of each 10th frame, and ours' own resize
    floor         ours without conversion and resize: the same packets decoded, so that no resize
                  could get below it

Goals, in CPU time: opencv takes 2.8 times ours, and floor no less than 0.83 of it (ours is within
1.2 of decoding alone). The clips are 1280x720, x264 as it comes, their pictures invented: textures
that pan, tiles that move, grain and a cut every three seconds. Frames are compared first; where
they are more than 2 levels of 256 apart nothing is timed and the exit status is 1. Otherwise it is
0, however fast or slow. Writes to a temporary folder alone. The last line printed is one JSON
object.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side import Timing, in_a_process, in_turn, one_thread, summary, timed

EVERY, SIZE = 10, 224
TOLERANCE = 2  # levels of 256
GOALS = {"opencv": 2.8, "floor": 0.83}
FPS, HEIGHT, WIDTH = Fraction(24000, 1001), 720, 1280
SHOT, GRAIN = 72, 1.2  # frames; standard deviation in levels
SECONDS = (
    1.00,
    1.77,
    2.47,
    3.56,
    6.31,
)  # MELD's clips: the 10th, 30th, 50th, 70th and 90th percentile


def ours(clips: Sequence[str], threads: int) -> Timing:
    """The project's way. `threads` changes nothing: a clip is decoded by one, and clips side by
    side."""
    from meld_lightning.media import read_frames

    read_frames(clips[0], EVERY, SIZE)
    return timed(lambda: [len(read_frames(clip, EVERY, SIZE)) for clip in clips], sum)


def opencv(clips: Sequence[str], threads: int) -> Timing:
    """The usual way, to the tensor that CLIP is given."""
    return _opencv(clips, threads, return_tensors="pt")


def opencv_uint8(clips: Sequence[str], threads: int) -> Timing:
    """The usual way, to pixels."""
    return _opencv(clips, threads, return_tensors="np", do_rescale=False, do_normalize=False)


def _opencv(clips: Sequence[str], threads: int, **how: Any) -> Timing:
    processor = _processor()

    def frames(clip: str) -> int:
        return len(processor(images=_every_tenth_of_all(clip, threads), **how)["pixel_values"])

    frames(clips[0])
    return timed(lambda: [frames(clip) for clip in clips], sum)


def decord(clips: Sequence[str], threads: int) -> Timing:
    """Decord as its users call it, then the resize of media.decoder=decord."""
    _by_decord(clips[0], threads)
    return timed(lambda: [len(_by_decord(clip, threads)) for clip in clips], sum)


def floor(clips: Sequence[str], threads: int) -> Timing:
    """Decoding alone, by the very plan of read_frames: private, but any other plan would be another
    floor."""
    from meld_lightning.media.frames import wanted_frames

    def frames(clip: str) -> int:
        return sum(1 for _ in wanted_frames(clip, EVERY))

    frames(clips[0])
    return timed(lambda: [frames(clip) for clip in clips], sum)


WAYS = (ours, opencv, opencv_uint8, decord, floor)


def _every_tenth_of_all(clip: str, threads: int) -> list[Any]:
    """Every frame decoded and converted, each 10th kept, as PIL images."""
    import cv2
    from PIL import Image

    cv2.setNumThreads(threads)
    capture = cv2.VideoCapture(clip, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
    kept: list[Any] = []
    place = 0
    while True:
        there, frame = capture.read()
        if not there:
            return kept
        if place % EVERY == 0:
            kept.append(Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))
        place += 1


def _by_decord(clip: str, threads: int) -> np.ndarray:
    import decord as library

    from meld_lightning.media.frames import fit

    reader = library.VideoReader(clip, ctx=library.cpu(0), num_threads=threads)
    return np.stack(
        [fit(frame, SIZE) for frame in reader.get_batch(range(0, len(reader), EVERY)).asnumpy()]
    )


def _processor() -> Any:
    from transformers.utils.logging import set_verbosity_error

    set_verbosity_error()  # the import would say which of two image processors it takes
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor()


def differences(clips: Sequence[str]) -> dict[str, int]:
    """Way -> levels by which any pixel of any clip is off CLIP's own preprocessing of OpenCV's
    frames, which owe nothing to PyAV; 256 where there are more or fewer frames."""
    from meld_lightning.media import read_frames

    processor = _processor()
    found = {"ours": 0, "decord": 0}
    for clip in clips:
        pictures = _every_tenth_of_all(clip, 1)
        expected = processor(
            images=pictures, return_tensors="np", do_rescale=False, do_normalize=False
        )
        expected_FSS3 = np.asarray(expected["pixel_values"]).transpose(0, 2, 3, 1).astype(int)
        for way, frames_FSS3 in (
            ("ours", read_frames(clip, EVERY, SIZE)),
            ("decord", _by_decord(clip, 1)),
        ):
            same_shape = frames_FSS3.shape == expected_FSS3.shape
            off = int(np.abs(frames_FSS3 - expected_FSS3).max()) if same_shape else 256
            found[way] = max(found[way], off)
    return found


def write_clips(seconds: Sequence[float], folder: Path) -> list[str]:
    """A clip for each duration, all cores at work."""
    clips = [str(folder / f"{number}.mp4") for number in range(len(seconds))]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        list(pool.map(write_clip, clips, seconds, range(len(clips))))
    return clips


def write_clip(path: str, seconds: float, seed: int) -> None:
    """Encodes one clip of invented pictures; the same seed gives the same."""
    import av

    rng = np.random.default_rng(seed)
    grain = np.round(rng.normal(0, GRAIN, (HEIGHT, WIDTH))).astype(np.int16)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.thread_count = 1
        for number in range(max(1, round(seconds * float(FPS)))):
            if number % SHOT == 0:
                luma, *chroma = [
                    _texture(rng, HEIGHT, 1),
                    _texture(rng, HEIGHT // 2, 2),
                    _texture(rng, HEIGHT // 2, 2),
                ]
                places, speeds = rng.integers(0, 900, (6, 2)), rng.uniform(-4, 4, (6, 2))
            picture = luma[:HEIGHT, number % SHOT // 4 :][:, :WIDTH].astype(np.int16)
            for size, place, speed in zip(range(90, 270, 30), places, speeds, strict=True):
                down, across = np.clip(
                    place + speed * number, 0, (HEIGHT - size, WIDTH - size)
                ).astype(int)
                picture[down : down + size, across : across + size] = luma[
                    size : 2 * size, size : 2 * size
                ][::-1]
            picture += np.roll(grain, int(rng.integers(grain.size)))
            colours = [
                plane[: HEIGHT // 2, number % SHOT // 8 :][:, : WIDTH // 2] for plane in chroma
            ]
            planes = [np.clip(picture, 16, 235).astype(np.uint8), *colours]
            flat = np.concatenate([plane.ravel() for plane in planes]).reshape(-1, WIDTH)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(flat, format="yuv420p")))
        container.mux(stream.encode(None))


def _texture(rng: np.random.Generator, height: int, shrunk: int) -> np.ndarray:
    """A plane somewhat wider than a picture's, of large shapes with smaller ones in them: uint8."""
    from PIL import Image

    width = (WIDTH + 64) // shrunk
    sum_HW = np.zeros((height, width), np.float32)
    for cell, weight in ((64, 0.5), (12, 0.4), (4, 0.1)):
        cells = rng.integers(
            0, 256, (height * shrunk // cell, (WIDTH + 64) // cell), dtype=np.uint8
        )
        sum_HW += weight * np.asarray(
            Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
        )
    return np.clip(sum_HW if shrunk == 1 else 128 + 0.4 * (sum_HW - 128), 16, 235).astype(np.uint8)


def durations(path: Path | None, clips: int) -> list[float]:
    """Seconds of each clip: drawn from the CSV's column file_seconds_emobox, or else MELD's
    percentiles in turn."""
    import pandas as pd

    if path is None:
        return [SECONDS[number % len(SECONDS)] for number in range(clips)]
    known = pd.read_csv(path)["file_seconds_emobox"].dropna().to_numpy()
    return [float(one) for one in np.random.default_rng(1).choice(known, clips)]


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--durations",
        type=Path,
        help="CSV with the clips' seconds in its column file_seconds_emobox",
    )
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of OpenCV and decord")
    args = parser.parse_args()
    one_thread(args.threads)
    seconds = durations(args.durations, args.clips)
    with tempfile.TemporaryDirectory() as folder:
        clips = write_clips(seconds, Path(folder))
        megabits = sum(Path(clip).stat().st_size for clip in clips) * 8e-6 / sum(seconds)
        print(f"{len(clips)} clips, {sum(seconds):.0f} s, {megabits:.2f} Mbit/s", flush=True)
        found = in_a_process(differences, clips)
        same = max(found.values()) <= TOLERANCE
        print(
            "levels off CLIP's own pixels: "
            + ", ".join(f"{way} {off}" for way, off in found.items()),
            flush=True,
        )
        told: dict[str, Any] = {
            "same": same,
            "differences": found,
            "clips": len(clips),
            "seconds": sum(seconds),
        }
        if same:
            rounds = in_turn(WAYS, args.rounds, clips, args.threads)
            told |= {"rounds": args.rounds, "threads": args.threads, "megabits_s": megabits}
            told["ways"] = summary(rounds, "frame", GOALS, "ours")
        else:
            print(f"more than {TOLERANCE}: the results differ, so nothing is timed", flush=True)
    print(json.dumps(told))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())

"""The process that decodes clips one at a time."""

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from meld_lightning.media import worker
from meld_lightning.media.frames import iter_frames
from tests.media.conftest import Write
from tests.running import HANGS_S

PARENT = """
import os, subprocess, sys
command = [sys.executable, "-m", "meld_lightning.media.worker", str(os.getpid())]
subprocess.Popen(command, start_new_session=True)
os._exit(0)
"""


def test_the_frames_of_a_clip_are_written_as_they_come(
    write_clip: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a long clip takes no more memory than a short one."""
    clip = write_clip("long.mp4", frames=60, shape=(48, 64), layout=None)
    seen: list[weakref.ref[np.ndarray]] = []
    held: list[int] = []

    def watched(source: str, every: int, size: int, *rest: Any) -> Iterator[np.ndarray]:
        for frame in iter_frames(source, every, size, *rest):
            seen.append(weakref.ref(frame))
            held.append(sum(one() is not None for one in seen))
            yield frame

    monkeypatch.setitem(worker.DECODERS, "pyav", watched)
    settings = {
        "every": 1,
        "size": 32,
        "decoder": "pyav",
        "rate": 16000,
        "channels": "mix",
        "keep_cut": False,
    }
    job = {"sources": {"frames": str(clip)}, "out": str(tmp_path / "out"), "settings": settings}
    assert worker.decode(job)["frames"] == {"count": 60, "reason": None}
    assert (len(held), max(held)) == (60, 2), "frames are kept after they are written"
    assert (tmp_path / "out.frames").stat().st_size == 60 * 32 * 32 * 3


def test_no_decoded_frame_waits_for_the_garbage_collector(write_clip: Write) -> None:
    """At 4K each takes 12 MB."""
    clip = write_clip("clip.mp4", frames=60, shape=(48, 64), layout=None)
    gc.collect()
    gc.disable()
    try:
        decoded = sum(1 for _ in iter_frames(clip, 1, 32))
        left = sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())
    finally:
        gc.enable()
    assert (decoded, left) == (60, 0)


@pytest.mark.slow
def test_a_worker_ends_after_its_parent_was_killed() -> None:
    """Although the pipe that it reads from stays open."""
    reading, writing = os.pipe()
    # the worker's stdout is the same pipe, whose end of file says that it has ended
    subprocess.run(
        [sys.executable, "-c", PARENT],
        stdin=reading,
        stdout=subprocess.PIPE,
        check=True,
        timeout=HANGS_S,
    )
    os.close(writing)
    os.close(reading)

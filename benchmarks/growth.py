"""How CPU time and peak memory grow when there is ten times as much to do.

    python benchmarks/growth.py

Three stages, each at two sizes and every measurement in a process of its own:

    utterances  `prepare` of a table of texts
    clips       `prepare` of short clips
    runs        the results of a table whose rows have three runs each

Goal: at ten times the size at most 10.5 times the CPU time and 1.1 times the peak of memory. Before
the clock starts `prepare` is done for a few rows, and the results of the smaller size, so that
imports count at neither size; the peak is that of the largest process. Writes to temporary folders.
The last line printed is one JSON object.
"""

import argparse
import csv
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from benchmarks.decoding import write_clip
from benchmarks.side_by_side import Timing, in_a_process, timed

TIMES = 10
GOAL_CPU, GOAL_PEAK = 10.5, 1.1  # at TIMES the work
FEW = 5  # rows prepared before the clock starts
SIZES = {"utterances": 2_000, "clips": 8, "runs": 12}
TEXT = "you said the same thing the last time we talked about number"
EMOTIONS = ("neutral", "joy", "anger")


def utterances(size: int) -> Timing:
    """A manifest of as many rows, ten a dialogue."""
    return prepared(size, False, "media.keep=[]")


def clips(size: int) -> Timing:
    """A manifest of as many clips of one second, 1280x720, decoded by one worker process."""
    return prepared(size, True, "media.processes=1")


def prepared(size: int, clip: bool, *more: str) -> Timing:
    """`prepare` of a manifest of that size, after one of a few rows."""
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as folder:
        prepare(write_manifest(Path(few), FEW, clip), *more)
        manifest = write_manifest(Path(folder), size, clip)
        return timed(lambda: prepare(manifest, *more), lambda status: size)


def runs(size: int) -> Timing:
    """Estimates and comparisons of a table, from the runs' logits on disk."""
    from benchmarks.page import TABLE, material_of
    from meld_lightning.report.results import study_results

    material = material_of(size)
    study_results(material_of(SIZES["runs"]), [TABLE])
    return timed(lambda: len(study_results(material, [TABLE])), lambda tables: size)


STAGES: dict[str, Callable[[int], Timing]] = {
    "utterances": utterances,
    "clips": clips,
    "runs": runs,
}


def prepare(manifest: Path, *more: str) -> int:
    """`meld-lightning prepare` of the manifest, into a cache beside it."""
    from meld_lightning.commands.cli import main as command

    words = ["corpus=manifest", f"corpus.root={manifest}", "corpus.split=dialogue"]
    cache = f"paths.cache={manifest.parent}/cache"
    with redirect_stdout(sys.stderr):
        status = command(["prepare", *words, "checkpoints=none", cache, *more])
    if status:
        sys.exit(f"prepare ended with status {status}")
    return status


def write_manifest(folder: Path, size: int, clip: bool) -> Path:
    """A table of `size` utterances, no two of them with the same text. clip: each has a file."""
    path = folder / "manifest.csv"
    if clip:
        write_clip(str(folder / "0.mp4"), 1.0, 0)
        for number in range(1, size):
            shutil.copy(folder / "0.mp4", folder / f"{number}.mp4")
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "text", "emotion", "dialogue", *(["clip"] if clip else [])])
        for number in range(size):
            dialogue = f"d{number % max(5, size // 10)}"
            emotion = EMOTIONS[number % len(EMOTIONS)]
            row = [f"u{number}", f"{TEXT} {number}", emotion, dialogue]
            table.writerow([*row, *([f"{number}.mp4"] if clip else [])])
    return path


def grown(stage: str) -> dict[str, Any]:
    """The stage at both sizes, printed and as JSON-able values."""
    size = SIZES[stage]
    small, large = (in_a_process(STAGES[stage], size * times) for times in (1, TIMES))
    found = {
        "sizes": [size, size * TIMES],
        "cpu_s": [small.cpu_s, large.cpu_s],
        "peak_mb": [small.peak_mb, large.peak_mb],
        "times_cpu": large.cpu_s / small.cpu_s,
        "times_peak": large.peak_mb / small.peak_mb,
    }
    print(
        f"{stage:<11}{size:>7} ->{size * TIMES:>7}: CPU {small.cpu_s:7.2f} ->{large.cpu_s:7.2f} s"
        f" ({found['times_cpu']:.1f}x, goal {GOAL_CPU}x), peak {small.peak_mb:.0f} ->"
        f" {large.peak_mb:.0f} MB ({found['times_peak']:.2f}x, goal {GOAL_PEAK}x)",
        flush=True,
    )
    return found


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    asked = parser.parse_args()
    print(json.dumps({stage: grown(stage) for stage in asked.stages}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

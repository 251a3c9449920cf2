"""Steps per second, device synchronisations per step and the share of time that a CUDA device is
busy, for this project's training and scoring of text, audio and video.

    python benchmarks/cuda_steps.py
    python benchmarks/cuda_steps.py numerics=bf16 data.batch_size=64 --ways bert wav2vec2

`bert` has BERT base's shape, `wav2vec2` wav2vec2-base's, `clip` CLIP ViT-B/32's, all with random
weights; the others are the mini corpus's small models. `plain` trains the same BERT on the same
batches in a loop without Lightning, deterministic algorithms or any bookkeeping: the least that a
step can cost from Python.

A synchronisation is a call that waits until the device has done all its work, as torch's own
debug mode (torch.cuda.set_sync_debug_mode) reports them; the places that call them are printed. All
figures are of the steps between two validations. Without a CUDA device it says so in one line and
ends with status 0. The last line printed is one JSON object.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

TRAINED = ("bert", "plain", "wav2vec2", "speech_probe", "mfcc", "clip_probe")
SCORED = ("clip", "wav2vec2_scoring")


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--ways", nargs="+", choices=(*TRAINED, *SCORED), default=TRAINED + SCORED)
    parser.add_argument("--steps", type=int, default=60, help="steps of the timed stretch")
    parser.add_argument("--cache", type=Path, help="a cache that `prepare` has filled with mini")
    parser.add_argument("overrides", nargs="*", help="settings of conf/train.yaml")
    args = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("no CUDA device here: nothing is measured")
        return 0
    from benchmarks.cuda_steps_ways import Bench, device_line

    print(device_line(), flush=True)
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args.cache, args.steps, tuple(args.overrides))
        bench.prepare()
        # `plain` last: torch's switches, which the others' Trainers set, are reset for it
        for way in sorted(args.ways, key=lambda way: way == "plain"):
            found = bench.measured(way)
            rows[way] = asdict(found)
            print(found.line(way), flush=True)
    print(json.dumps({"device": device_line(), "overrides": args.overrides, "ways": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

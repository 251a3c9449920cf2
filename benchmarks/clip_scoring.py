"""CPU time of scoring frames with CLIP, beside transformers' pipeline; and the time that new
prompts take afterwards.

    python benchmarks/clip_scoring.py

First, from frames of CLIP's size to a score for each of seven emotions, two ways taken in turn,
each in a process of its own, on the CPU whatever else is there:

    ours      pretrained/clip.py: the prompts once, the frames 64 at a time as data/video.py embeds
              them, in bf16 where the CPU computes with it
    pipeline  transformers' zero-shot-image-classification: a frame at a time, each with its
              prompts, in fp32

Goals where bf16 is fast: pipeline takes 8 times ours at CLIP base's shape, 4 times at large's.
Weights are random; shapes and the prompts' lengths in tokens are real.

Then, from the vectors of new labels to clips' scores over frames embedded before, float16 and
memory-mapped: `clips` is ClipZeroShot over its datamodule's batches, `batches` what making these
takes of it, and `at_once` another way to the same, all frames in one product and only the scores
padded. `text` is what comes before: the seven prompts' vectors. Goal: `clips` within 50 ms of wall
time, for 27,000 frames at large's width.

Scores are compared first; where they differ nothing is timed and the exit status is 1. Otherwise it
is 0, however fast or slow. Writes to a temporary folder alone. The last line printed is one JSON
object.
"""

import argparse
import json
import statistics
import sys
import tempfile
from typing import Any

from benchmarks.clip_scoring_prompts import new_prompts, prompts_differ
from benchmarks.clip_scoring_ways import (
    SHAPES,
    Setting,
    differences,
    fast_bf16,
    ours,
    pipeline,
    prepare,
)
from benchmarks.side_by_side import in_a_process, in_turn, one_thread, summary

TOLERANCE = 1e-4  # of probabilities, and of clips' logits, fp32
GOALS = {"base": {"pipeline": 8.0}, "large": {"pipeline": 4.0}}
GOAL_MS = 50.0  # of new prompts


def compare_and_measure(model: str, args: argparse.Namespace) -> dict[str, Any]:
    """Everything about one model; its key `same` says whether there is anything to compare."""
    frames = args.frames or SHAPES[model].frames
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(folder, f"{folder}/embeds.npy", frames, max(1, frames // 4), args.threads)
        in_a_process(prepare, model, setting, args.cached)
        found = in_a_process(differences, setting) | {
            "at_once": in_a_process(prompts_differ, setting)
        }
        told: dict[str, Any] = {
            "same": max(found["scores"], found["at_once"]) <= TOLERANCE,
            "differences": found,
        }
        print(
            f"\n{model}: " + ", ".join(f"{name} {one:.2g}" for name, one in found.items()),
            flush=True,
        )
        if not told["same"]:
            print(f"more than {TOLERANCE:.0e}: the results differ, so nothing is timed", flush=True)
            return told
        rounds = in_turn((ours, pipeline), args.rounds, setting)
        told["ways"] = summary(rounds, "frame", GOALS.get(model, {}), "ours")
        prompts = [in_a_process(new_prompts, setting) for _ in range(args.rounds)]
    told["new_prompts"] = {
        key: statistics.median(one[key] for one in prompts) for key in prompts[0]
    }
    print(f"new prompts over {args.cached} frames (goal {GOAL_MS:g} ms, clips): ", end="")
    print(
        ", ".join(f"{key[:-3]} {one:.1f} ms" for key, one in told["new_prompts"].items()),
        flush=True,
    )
    return told


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=list(SHAPES), default=["base", "large"])
    parser.add_argument(
        "--frames",
        type=int,
        help="of ours, the pipeline does a quarter; default: 64 base, 16 large",
    )
    parser.add_argument(
        "--cached", type=int, default=27_000, help="frames already embedded, for the new prompts"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    one_thread(args.threads)
    bf16 = in_a_process(fast_bf16)
    print(
        f"{args.threads} thread(s), {args.rounds} round(s), ours in"
        f" {'bf16' if bf16 else 'fp32: no bf16 here'}"
    )
    models = {model: compare_and_measure(model, args) for model in args.models}
    print(json.dumps({**vars(args), "bf16": bf16, "models": models}))
    return 0 if all(model["same"] for model in models.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What becomes of a run that runs out of memory: each global batch is taken in twice as many
pieces, one after another.

Reads and writes <run folder>/accumulation.json, which says from which optimiser step on a batch was
taken in how many pieces. Used by training; the datamodules share the batches out, Lightning adds
the pieces' gradients up.
"""

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from meld_lightning.errors import Preempted, UserError
from meld_lightning.storage.atomic import write_json

Taken = list[dict[str, int]]  # [{"from_step": 0, "pieces": 1}, ...], in the order of the steps


def read_accumulation(folder: Path) -> Taken:
    """How the run in `folder` has taken its batches, and goes on to: whole, unless it ran out of
    memory."""
    file = folder / "accumulation.json"
    if not file.is_file():
        return [{"from_step": 0, "pieces": 1}]
    try:
        return [
            {name: int(one[name]) for name in ("from_step", "pieces")}
            for one in json.loads(file.read_text())
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file}: damaged ({error}); delete it and run the same command again"
        ) from error


def until_it_fits(folder: Path, start: Callable[[], None], here: bool) -> None:
    """Calls `start`, which runs what `folder` describes; again, with smaller pieces, whenever it
    ran out of memory.

    here: whether this process starts all ranks; a rank that a cluster has started cannot start the
        others again, and
    raises Preempted, for which the job is queued again.
    """
    while True:
        taken = read_accumulation(folder)
        try:
            return start()
        except (
            UserError
        ):  # its words do not tell: of two ranks that fail, the one that waited may be heard first
            if read_accumulation(folder) == taken:
                raise
        if not here:
            raise Preempted(describe(folder))
        print(describe(folder), flush=True)
        gc.collect()  # what the try held, a Trainer and its module, holds itself in circles
        torch.cuda.empty_cache()


def describe(folder: Path) -> str:
    """How the run in `folder` goes on after it ran out of memory."""
    last = read_accumulation(folder)[-1]
    return (
        f"{folder}: out of memory; going on from step {last['from_step']} with each batch in"
        f" {last['pieces']} pieces"
    )


def divide(folder: Path, taken: Taken, batch_size: int) -> None:
    """Doubles the pieces from the run's last checkpoint on.

    taken: what the run that ran out did; not read here, since of two ranks that run out both write
        the same.
    batch_size: the most utterances that a process holds at once when batches are whole. UserError
        where it held one.
    """
    pieces = taken[-1]["pieces"]
    if batch_size <= pieces:
        raise UserError(
            f"{folder}: out of memory with one utterance at a time; lower data.max_tokens or"
            " data.max_seconds (whichever this data has), set numerics=bf16, or choose a smaller"
            " checkpoint"
        )
    last = folder / "checkpoints" / "last.ckpt"
    step = 0
    if last.is_file():
        step = int(
            torch.load(last, weights_only=True, mmap=True, map_location="cpu")["global_step"]
        )
    now = [one for one in taken if one["from_step"] < step] + [
        {"from_step": step, "pieces": 2 * pieces}
    ]
    write_json(folder / "accumulation.json", now)


def recount(batches: dict[str, Any], before: int, now: int) -> None:
    """Turns Lightning's progress in pieces of a batch, of which there were `before` and are `now`,
    at a batch's end."""
    for counts in (batches["total"], batches["current"]):
        open_ = counts["processed"] - counts["completed"]  # 1 within a hook of the batch's end
        for name in counts:
            behind = open_ if name == "completed" else 0
            counts[name] = (counts[name] + behind) // before * now - behind

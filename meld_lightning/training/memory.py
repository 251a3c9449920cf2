"""Gradient accumulation for runs that run out of memory: each global batch is split into twice as
many microbatches, and the run resumes.

Reads and writes <run folder>/accumulation.json, the run's accumulation schedule: the number of
microbatches and the optimiser step it applies from. Used by training; the datamodules split the
batches and Lightning adds up the microbatches' gradients.
"""

import gc
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from meld_lightning.errors import Preempted, UserError
from meld_lightning.runs.run import last_checkpoint
from meld_lightning.storage.atomic import write_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Accumulation:
    """The number of microbatches per global batch and rank, from an optimiser step on."""

    from_step: int
    microbatches: int


Schedule = list[Accumulation]  # in the order of the steps


def read_schedule(folder: Path) -> Schedule:
    """The accumulation schedule of the run in `folder`; one microbatch if it never ran out of
    memory."""
    file = folder / "accumulation.json"
    if not file.is_file():
        return [Accumulation(0, 1)]
    try:
        return [
            Accumulation(int(one["from_step"]), int(one["microbatches"]))
            for one in json.loads(file.read_text())
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file}: damaged ({error}); delete it and run the same command again"
        ) from error


def plain_schedule(schedule: Sequence[Accumulation]) -> list[dict[str, int]]:
    """As JSON: [{"from_step": 0, "microbatches": 1}, ...]."""
    return [asdict(one) for one in schedule]


def retry_out_of_memory(folder: Path, start: Callable[[], None], starts_ranks: bool) -> None:
    """Calls `start`, which runs what `folder` describes, until it no longer runs out of memory.

    Each failed try has doubled the microbatches in the folder's schedule. starts_ranks: whether
    this process starts all ranks. A rank that a cluster has started cannot restart the others: it
    raises Preempted, so that the job is requeued.
    """
    while True:
        schedule = read_schedule(folder)
        try:
            return start()
        except UserError:
            # The schedule decides, not the message: if two ranks fail, the one that only waited
            # may report first.
            if read_schedule(folder) == schedule:
                raise
        if not starts_ranks:
            raise Preempted(describe(folder))
        logger.info(describe(folder))
        gc.collect()  # the failed try's Trainer and module hold each other in cycles
        torch.cuda.empty_cache()


def largest_batch(cfg: DictConfig) -> int:
    """Utterances in the largest batch that a rank holds without accumulation."""
    return max(cfg.eval_batch_size, -(-cfg.data.batch_size // cfg.numerics.world_size))


def describe(folder: Path) -> str:
    """How the run in `folder` resumes after it ran out of memory."""
    last = read_schedule(folder)[-1]
    return (
        f"{folder}: out of memory; resuming from step {last.from_step} with"
        f" {last.microbatches} microbatches per batch"
    )


def double_microbatches(folder: Path, schedule: Schedule, largest: int) -> None:
    """Doubles the microbatches from the run's last checkpoint on.

    schedule: that of the failed try. It is not read from the folder here: if two ranks run out of
        memory, both have to write the same.
    largest: as `largest_batch` gives it. UserError if a microbatch was a single utterance already.
    """
    microbatches = schedule[-1].microbatches
    if largest <= microbatches:
        raise UserError(
            f"{folder}: out of memory with one utterance at a time; lower data.max_tokens or"
            " data.max_seconds (whichever this data has), set numerics=bf16, or choose a smaller"
            " checkpoint"
        )
    last = last_checkpoint(folder)
    step = 0
    if last.is_file():
        checkpoint = torch.load(last, weights_only=True, mmap=True, map_location="cpu")
        step = int(checkpoint["global_step"])
    kept = [one for one in schedule if one.from_step < step]
    write_json(
        folder / "accumulation.json", plain_schedule([*kept, Accumulation(step, 2 * microbatches)])
    )


class MicrobatchProgress(pl.Callback):
    """Restores Lightning's progress, which counts microbatches, if their number has changed since
    the checkpoint was saved."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["microbatches"] = trainer.accumulate_grad_batches

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        rescale_progress(progress, checkpoint["microbatches"], trainer.accumulate_grad_batches)


def rescale_progress(progress: dict[str, Any], before: int, now: int) -> None:
    """Converts Lightning's batch counts, saved at a step's end with `before` microbatches per step,
    to `now` per step. Changes `progress` in place."""
    for counts in (progress["total"], progress["current"]):
        open_ = counts["processed"] - counts["completed"]  # 1 within a hook of the batch's end
        for name in counts:
            behind = open_ if name == "completed" else 0
            counts[name] = (counts[name] + behind) // before * now - behind

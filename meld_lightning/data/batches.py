"""The batches of an epoch: a plan drawn from (seed, epoch) alone, and a loader that can start at
any of them.

Seed and epoch decide the plan and nothing else does. So a run killed in mid-epoch continues with
exactly the batches it had not seen, whatever the number of workers, and every DDP rank takes its
share of the same global batches. Used by data/datamodule.py.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

# Rows are sorted by length within this many batches, as in transformers' group_by_length.
MEGA_BATCH = 50


class Microbatch(NamedTuple):
    """One item of a loader: a global batch (positions within the split) and which of its
    microbatches is meant, from 0."""

    batch: np.ndarray
    number: int


def length_grouped(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int, draw: np.ndarray | None = None
) -> list[np.ndarray]:
    """The global batches of one epoch: row indices grouped by similar length, in shuffled order.

    Rows are shuffled, cut into stretches of MEGA_BATCH batches and sorted within a stretch; the
    batches are then shuffled again, so that a row's length does not decide when it is seen.

    lengths: tokens, samples or frames of each row (N,).
    draw: probability of each row (N,), for drawing N rows with replacement; None takes each row
        once.
    """
    rng = np.random.default_rng([seed, epoch])
    count = len(lengths)
    order = rng.permutation(count) if draw is None else rng.choice(count, count, p=draw)
    stretch = MEGA_BATCH * batch_size
    stretches = [order[start : start + stretch] for start in range(0, count, stretch)]
    ordered = np.concatenate(
        [part[np.argsort(-lengths[part], kind="stable")] for part in stretches]
    )
    batches = [ordered[start : start + batch_size] for start in range(0, count, batch_size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def by_length(lengths: np.ndarray, batch_size: int, rank: int, world_size: int) -> list[np.ndarray]:
    """This rank's batches for scoring, longest rows first.

    Over all ranks every row occurs exactly once; no rank gets a repeated row to fill up a batch.
    """
    mine = np.argsort(-lengths, kind="stable")[rank::world_size]
    return [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]


def balanced_draw(labels: np.ndarray) -> np.ndarray:
    """Probability of each row (N,) such that every class that occurs is drawn equally often."""
    classes, counts = np.unique(labels, return_counts=True)
    return 1.0 / (counts[np.searchsorted(classes, labels)] * len(classes))


class EpochPlan(Sampler[Any]):
    """Yields every microbatch of one epoch's global batches, starting at microbatch `first`."""

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        seed: int,
        draw: np.ndarray | None = None,
        microbatches: int = 1,
    ) -> None:
        self.lengths, self.batch_size, self.seed, self.draw = lengths, batch_size, seed, draw
        self.microbatches = microbatches
        self.epoch, self.first = 0, 0

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size) * self.microbatches

    def __iter__(self) -> Iterator[Microbatch]:
        plan = length_grouped(self.lengths, self.batch_size, self.seed, self.epoch, self.draw)
        items = [Microbatch(batch, number) for batch in plan for number in range(self.microbatches)]
        return iter(items[self.first :])


class ResumableLoader(DataLoader):
    """A DataLoader over an EpochPlan that continues after the last microbatch it handed out, even
    in a later epoch.

    A resumed run sets `handed_out` to the microbatches of all its earlier steps; the callback
    LastCheckpoint does so. Lightning's own mechanism, the loader's `state_dict`, is not used: a
    checkpoint saved at the end of an epoch does not restore it.
    """

    def __init__(self, dataset: Dataset, plan: EpochPlan, **options: Any) -> None:
        super().__init__(dataset, sampler=plan, batch_size=None, **options)
        self.plan, self.handed_out = plan, 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        self.plan.epoch, self.plan.first = divmod(self.handed_out, len(self.plan))
        for batch in super().__iter__():
            self.handed_out += 1
            yield batch

    def __len__(self) -> int:
        return len(self.plan)


def rank_share(batch: Sequence[int] | np.ndarray, rank: int, world_size: int) -> np.ndarray:
    """A rank's rows of a global batch.

    Every rank gets at least one row, as DDP needs: a rank beyond the batch's length repeats the
    first, which `owned_N` then marks as counted elsewhere.
    """
    mine = np.asarray(batch)[rank::world_size]
    return mine if len(mine) else np.asarray(batch)[:1]

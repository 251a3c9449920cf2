"""Which utterances make up which batch: a plan drawn from (seed, epoch) alone, and a loader that
can start inside it.

Because nothing but seed and epoch decides the plan, a run killed in mid-epoch continues with
exactly the batches it had not seen, whatever the number of workers, and every DDP rank takes its
share of the same global batches.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

# batches whose utterances are sorted by length together; transformers' group_by_length uses 50 too
MEGA_BATCH = 50


class Piece(NamedTuple):
    """What one batch of a loader is made of: a global batch, and which of its pieces."""

    batch: np.ndarray
    place: int


def length_grouped(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int, draw: np.ndarray | None = None
) -> list[np.ndarray]:
    """One epoch's global batches: row indices grouped by similar length, in shuffled order.

    lengths (N,): tokens (or samples) per row. draw (N,): probability of each row, for drawing N
    rows with replacement; None takes each row once. Rows are shuffled, cut into stretches of
    MEGA_BATCH batches, sorted within a stretch, and the batches shuffled again, so that length says
    nothing about when a row is seen.
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
    """This rank's batches for scoring: every row exactly once over all ranks, longest first,
    nothing padded out."""
    mine = np.argsort(-lengths, kind="stable")[rank::world_size]
    return [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]


def balanced_draw(labels: np.ndarray) -> np.ndarray:
    """Probability of each row (N,) such that every class that occurs is drawn equally often."""
    classes, counts = np.unique(labels, return_counts=True)
    return 1.0 / (counts[np.searchsorted(classes, labels)] * len(classes))


class EpochPlan(Sampler[Any]):
    """Yields the global batches of one epoch, each `pieces` times, from any piece on."""

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        seed: int,
        draw: np.ndarray | None = None,
        pieces: int = 1,
    ) -> None:
        self.lengths, self.batch_size, self.seed, self.draw, self.pieces = (
            lengths,
            batch_size,
            seed,
            draw,
            pieces,
        )
        self.epoch, self.first = 0, 0

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size) * self.pieces

    def __iter__(self) -> Iterator[Piece]:
        plan = length_grouped(self.lengths, self.batch_size, self.seed, self.epoch, self.draw)
        pieces = [Piece(batch, place) for batch in plan for place in range(self.pieces)]
        return iter(pieces[self.first :])


class ResumableLoader(DataLoader):
    """A DataLoader over an EpochPlan that continues after the last piece it handed out, epochs
    included.

    A resumed run sets `handed_out` to what its steps so far took before the next one
    (RunCheckpoints does). Lightning's own way, `state_dict` of the loader, is not used: a
    checkpoint saved at an epoch's end does not give it back.
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


def share(batch: Sequence[int] | np.ndarray, rank: int, world_size: int) -> np.ndarray:
    """A rank's rows of a global batch. Every rank gets at least one; one that repeats another's is
    told by `owned`."""
    mine = np.asarray(batch)[rank::world_size]
    return mine if len(mine) else np.asarray(batch)[:1]

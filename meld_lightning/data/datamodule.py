"""Base of the datamodules: the rows of a split in length-grouped batches, divided among DDP ranks.

Reads the corpus table. A modality's datamodule adds `batch(rows, shared)`. Utterances that lack the
modality are in no batch; `absent` lists them, and training gives them the prior of train. Used by
training.

Axes: N utterances of a batch (of the table, in the constructor), G utterances of the global batch.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import Field
from torch.utils.data import DataLoader, Dataset

from meld_lightning.data.batches import (
    EpochPlan,
    Microbatch,
    ResumableLoader,
    balanced_draw,
    by_length,
    rank_share,
)
from meld_lightning.data.soft_labels import train_targets
from meld_lightning.data.sources import Sources
from meld_lightning.errors import UserError

logger = logging.getLogger(__name__)

Sampling = Literal["shuffled", "oversampled"]
SHOWN = 5  # keys named in a line


class NonePresent(UserError):  # noqa: N818 -- named by what is the case
    """No utterance has the modality."""


class Shared(NamedTuple):
    """What every batch carries besides its modality's inputs."""

    labels_N: torch.Tensor
    rows_N: torch.Tensor  # row in the corpus table
    owned_N: torch.Tensor  # False for a repeated utterance, which another rank counts
    labels_G: torch.Tensor  # of the whole global batch, whose class weights normalise the loss


class CorpusDataModule(pl.LightningDataModule):
    """Base of the datamodules.

    Class attributes, which a subclass sets and which can be read without making one:
        modality: the word for what it reads: "text", "audio", "video", or a new one. It is the
            first part of a run's folder, and fusions go by it.
        decoded: the kind of decoded media it needs: "frames", "faces", "audio", or None for none;
            or the kind for each value of its key `crop`.

    Args:
        sources: the corpus table, media and checkpoint.
        lengths_N: tokens, samples or frames of each row; batches hold rows of similar length.
        present_N: whether a row has the modality at all.
        groups: rows that stay together in a batch, in the order of each group; no group reaches
            over two splits. None: every row is a group of its own.
        batch_size: utterances per optimiser step, over all devices; with data.batch_of=dialogues,
            dialogues.
        eval_batch_size: groups per batch and rank when scoring.
        sampling: order of the training utterances; oversampled draws every class equally often.
        soft_labels: what share of a training utterance's target are the votes of its readers
            (corpus.votes) instead of its label.
        seed: decides the order of the training batches, together with the epoch.
        workers: data-loading processes.
        rank, world_size: this DDP process and their number.
        microbatches: the number of parts, one after another, in which a rank processes its share of
            a training batch (gradient accumulation). Batches for scoring shrink by the same factor.
    """

    modality: ClassVar[str]
    decoded: ClassVar[str | Mapping[str, str] | None]

    def __init__(
        self,
        batch_size: Annotated[int, Field(ge=1)] = 16,
        sampling: Sampling = "shuffled",
        soft_labels: Annotated[float, Field(ge=0, le=1)] = 0.0,
        *,
        sources: Sources,
        lengths_N: np.ndarray,
        present_N: np.ndarray,
        groups: Sequence[np.ndarray] | None = None,
        eval_batch_size: int,
        seed: int,
        workers: int,
        rank: int,
        world_size: int,
        microbatches: int,
    ) -> None:
        super().__init__()
        self.batch_size, self.sampling, self.seed = batch_size, sampling, seed
        self.eval_batch_size = max(1, eval_batch_size // microbatches)
        # at most one utterance each: a microbatch is never empty
        self.microbatches = min(microbatches, -(-batch_size // world_size))
        self.table = sources.table
        self.workers, self.rank, self.world_size = workers, rank, world_size
        self.on_cuda = sources.device.type == "cuda"
        self.lengths_N, self.present_N = np.asarray(lengths_N), np.asarray(present_N)
        self.splits_N = sources.table["split"].to_numpy()
        self.labels_N = sources.table["label"].to_numpy(np.int64)
        # the target of each row as probabilities (N, C); None: its label
        self.train_targets_NC = (
            train_targets(sources.table, sources.labels, soft_labels) if soft_labels else None
        )
        self.all_groups = groups
        require_some(self.present_N, self.modality)
        if groups is not None and sampling == "oversampled":
            raise UserError(
                "data.sampling=oversampled draws single utterances, which data.batch_of=dialogues"
                " does not have: leave one of them out"
            )

    def batch(self, rows: np.ndarray, shared: Shared) -> Any:
        """The modality's inputs of `rows` and the fields of `shared`, as a NamedTuple."""
        raise TypeError(f"{type(self).__name__} defines no batch")

    def rows(self, split: str) -> np.ndarray:
        """Rows of the corpus table that belong to `split` and have the modality."""
        return np.flatnonzero((self.splits_N == split) & self.present_N)

    def absent(self, split: str) -> np.ndarray:
        """Rows of `split` that lack the modality."""
        return np.flatnonzero((self.splits_N == split) & ~self.present_N)

    def groups(self, split: str) -> list[np.ndarray]:
        """The rows of `split` that have the modality, in the groups that batches are made of."""
        if self.all_groups is None:
            return list(self.rows(split)[:, None])
        of_split = [group for group in self.all_groups if self.splits_N[group[0]] == split]
        present = [group[self.present_N[group]] for group in of_split]
        return [group for group in present if len(group)]

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps per epoch; the last batch may be smaller."""
        return -(-len(self.groups("train")) // self.batch_size)

    def train_dataloader(self) -> DataLoader:
        """Length-grouped batches of train; after a resume it starts at the next unseen batch."""
        rows, groups = self.rows("train"), self.groups("train")
        draw = balanced_draw(self.labels_N[rows]) if self.sampling == "oversampled" else None
        lengths = self._lengths(groups)
        plan = EpochPlan(lengths, self.batch_size, self.seed, draw, self.microbatches)
        batches = _Batches(
            self.batch, self.labels_N, groups, self.rank, self.world_size, self.microbatches
        )
        return ResumableLoader(batches, plan, **self._loader_options)

    def val_dataloader(self) -> DataLoader:
        """Val, each utterance once over all ranks."""
        return self.scoring_dataloader("val")

    def scoring_dataloader(self, split: str) -> DataLoader:
        """Any split, each utterance once over all ranks, longest first."""
        groups = self.groups(split)
        lengths = self._lengths(groups)
        mine = by_length(lengths, self.eval_batch_size, self.rank, self.world_size)
        sampler: Any = [Microbatch(batch, 0) for batch in mine]
        # by_length has divided the groups among ranks already
        batches = _Batches(self.batch, self.labels_N, groups, rank=0, world_size=1)
        return DataLoader(batches, sampler=sampler, batch_size=None, **self._loader_options)

    def _lengths(self, groups: Sequence[np.ndarray]) -> np.ndarray:
        """Tokens, samples or frames of each group, all its rows together."""
        return np.array([self.lengths_N[group].sum() for group in groups], self.lengths_N.dtype)

    @property
    def _loader_options(self) -> dict[str, Any]:
        return {
            "num_workers": self.workers,
            "persistent_workers": self.workers > 0,
            "pin_memory": self.on_cuda,
        }


def require_some(present_N: np.ndarray, modality: str) -> None:
    """Raises NonePresent if no utterance of the corpus has the modality.

    The base class checks this for every datamodule; one that computes features before it calls
    the base class checks it first.
    """
    if not present_N.any():
        raise NonePresent(
            f"no utterance has {modality} that can be read; the corpus report gives the reasons"
        )


def warn_of_missing(keys: Sequence[str], what: str) -> None:
    """One line that counts and names utterances that lack the modality because `what` is not
    finite; none if there are none."""
    if len(keys):
        more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
        logger.warning(
            "%s are not finite and count as missing for these utterances (%d): %s%s",
            what,
            len(keys),
            ", ".join(keys[:SHOWN]),
            more,
        )


class _Batches(Dataset):
    """Makes batches: a Microbatch, which holds positions within a split's groups, gives this rank's
    share of it."""

    def __init__(
        self,
        make: Callable[[np.ndarray, Shared], Any],
        labels_N: np.ndarray,
        groups: Sequence[np.ndarray],
        rank: int,
        world_size: int,
        microbatches: int = 1,
    ) -> None:
        self.make, self.labels_N, self.groups = make, labels_N, groups
        self.rank, self.world_size, self.microbatches = rank, world_size, microbatches

    def __getitem__(self, microbatch: Microbatch) -> Any:
        # a microbatch is divided like a batch among world_size * microbatches ranks
        place = microbatch.number * self.world_size + self.rank
        share = rank_share(microbatch.batch, place, self.world_size * self.microbatches)
        mine = np.concatenate([self.groups[position] for position in share])
        global_batch = np.concatenate([self.groups[position] for position in microbatch.batch])
        shared = Shared(
            labels_N=torch.from_numpy(self.labels_N[mine]),
            rows_N=torch.from_numpy(mine),
            owned_N=torch.full((len(mine),), place < len(microbatch.batch)),
            labels_G=torch.from_numpy(self.labels_N[global_batch]),
        )
        return self.make(mine, shared)

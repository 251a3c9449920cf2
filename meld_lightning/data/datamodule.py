"""What the datamodules of all modalities share: rows of a split in length-grouped batches, shared
out over DDP ranks.

Reads the corpus table. A modality's datamodule adds `batch(rows, shared)`; rows that lack the
modality are `absent` from every batch, and training says so in the logits.

Axes: N utterances of a batch (of the table, in the constructor), G utterances of the global batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from meld_lightning.data.batches import (
    EpochPlan,
    Piece,
    ResumableLoader,
    balanced_draw,
    by_length,
    share,
)
from meld_lightning.errors import UserError

if TYPE_CHECKING:
    from meld_lightning.media import Media

Sampling = Literal["shuffled", "oversampled"]


class Shared(NamedTuple):
    """What every batch carries beside its modality's inputs."""

    labels_N: torch.Tensor
    rows_N: torch.Tensor  # row in the corpus table
    owned_N: torch.Tensor  # False for a row that another rank counts
    labels_G: torch.Tensor  # of the whole global batch: what the loss is normalised by


@dataclass(frozen=True)
class Sources:
    """What datamodules read: the corpus table plus an integer column `label`, the decoded clips,
    the checkpoint.

    device and precision: where and how a datamodule that caches a frozen encoder's output computes
    it.
    """

    table: pd.DataFrame
    labels: tuple[str, ...]
    corpus_digest: str
    media: Media | None  # None for a modality that reads no clips
    checkpoint: Path | None  # the folder; None for a model without one
    checkpoint_digest: str
    cache: Path
    device: torch.device
    precision: str


class CorpusDataModule(pl.LightningDataModule):
    """Base of the datamodules.

    Class attributes, which a subclass sets and which can be read without making one:
        modality: the word for what it reads: "text", "audio", "video", or a new one. It is the
            first part of a run's folder, and fusions go by it.
        decoded: the kind of decoded media it needs: "frames", "audio", or None for none.

    Args:
        sources: its table says which rows there are.
        lengths_N: tokens, samples or frames of each row; batches hold rows of similar length.
        present_N: whether a row has the modality at all.
        batch_size: utterances per optimiser step, over all ranks.
        sampling: `shuffled`, or `oversampled` to draw every class equally often.
        pieces: in how many parts a rank takes its share of a training batch, one after another,
            where memory does not hold it whole; batches for scoring are as much smaller.
    """

    modality: ClassVar[str]
    decoded: ClassVar[str | None]

    def __init__(
        self,
        *,
        sources: Sources,
        lengths_N: np.ndarray,
        present_N: np.ndarray,
        batch_size: int,
        eval_batch_size: int,
        sampling: Sampling,
        seed: int,
        workers: int,
        rank: int,
        world_size: int,
        pieces: int = 1,
    ) -> None:
        super().__init__()
        self.batch_size, self.sampling, self.seed = batch_size, sampling, seed
        self.eval_batch_size = max(1, eval_batch_size // pieces)
        self.pieces = min(pieces, -(-batch_size // world_size))  # none without an utterance
        self.table = sources.table
        self.workers, self.rank, self.world_size = workers, rank, world_size
        self.lengths_N, self.present_N = np.asarray(lengths_N), np.asarray(present_N)
        self.splits_N = sources.table["split"].to_numpy()
        self.labels_N = sources.table["label"].to_numpy(np.int64)
        if not self.present_N.any():
            raise UserError(
                f"no utterance has what {type(self).__name__} reads: the corpus report says why"
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

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps: the last batch may be smaller."""
        return -(-len(self.rows("train")) // self.batch_size)

    def train_dataloader(self) -> DataLoader:
        """Length-grouped global batches of train; resumes where a checkpoint left it."""
        rows = self.rows("train")
        draw = balanced_draw(self.labels_N[rows]) if self.sampling == "oversampled" else None
        plan = EpochPlan(self.lengths_N[rows], self.batch_size, self.seed, draw, self.pieces)
        batches = _Batches(self.batch, self.labels_N, rows, self.rank, self.world_size, self.pieces)
        return ResumableLoader(batches, plan, **self._how)

    def val_dataloader(self) -> DataLoader:
        """Val, each utterance once over all ranks."""
        return self.scoring_dataloader("val")

    def scoring_dataloader(self, split: str) -> DataLoader:
        """Any split, each utterance once over all ranks, longest first."""
        rows = self.rows(split)
        mine = by_length(self.lengths_N[rows], self.eval_batch_size, self.rank, self.world_size)
        batches: Any = [Piece(batch, 0) for batch in mine]
        alone = _Batches(
            self.batch, self.labels_N, rows, 0, 1
        )  # the batches are this rank's own already
        return DataLoader(alone, sampler=batches, batch_size=None, **self._how)

    @property
    def _how(self) -> dict[str, Any]:
        return {
            "num_workers": self.workers,
            "persistent_workers": self.workers > 0,
            "pin_memory": torch.cuda.is_available(),
        }


class _Batches(Dataset):
    """Makes whole batches: indexed by pieces of global batches of positions within a split, gives
    this rank's share."""

    def __init__(
        self,
        make: Callable[[np.ndarray, Shared], Any],
        labels_N: np.ndarray,
        rows: np.ndarray,
        rank: int,
        world_size: int,
        pieces: int = 1,
    ) -> None:
        self.make, self.labels_N, self.rows = make, labels_N, rows
        self.rank, self.world_size, self.pieces = rank, world_size, pieces

    def __getitem__(self, piece: Piece) -> Any:
        whole = self.rows[piece.batch]
        place = piece.place * self.world_size + self.rank  # as a rank among more of them would
        mine = share(whole, place, self.world_size * self.pieces)
        shared = Shared(
            labels_N=torch.from_numpy(self.labels_N[mine]),
            rows_N=torch.from_numpy(mine),
            owned_N=torch.full((len(mine),), place < len(whole)),
            labels_G=torch.from_numpy(self.labels_N[whole]),
        )
        return self.make(mine, shared)

"""Text: utterances (with their dialogue, if asked) as token ids, tokenised once and cached, in length-grouped batches.

Reads the corpus table and a checkpoint's tokenizer; writes cache/tokens/<key>/. Used by training.

Axes: N utterances of a batch, T tokens, G utterances of the global batch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from meld_lightning.data.batches import EpochPlan, ResumableLoader, balanced_draw, by_length, share
from meld_lightning.data.tokens import Tokens, cached_tokens


class TextBatch(NamedTuple):
    """Token ids padded to the batch's own longest row."""

    input_ids_NT: torch.Tensor
    attention_mask_NT: torch.Tensor
    own_mask_NT: torch.Tensor  # the utterance itself and the markers around it, without its dialogue
    labels_N: torch.Tensor
    rows_N: torch.Tensor  # row in the corpus table
    owned_N: torch.Tensor  # False for a row that another rank counts
    labels_G: torch.Tensor  # of the whole global batch: what the loss is normalised by


class TextDataset(Dataset):
    """Makes whole batches: indexed by an array of rows, gives this rank's share of them."""

    def __init__(self, tokens: Tokens, labels: np.ndarray, rank: int, world_size: int) -> None:
        self.tokens, self.labels, self.rank, self.world_size = tokens, labels, rank, world_size

    def __getitem__(self, rows: np.ndarray) -> TextBatch:
        mine = share(rows, self.rank, self.world_size)
        lengths = self.tokens.lengths[mine]
        shape = (len(mine), int(lengths.max()))
        ids = np.full(shape, self.tokens.pad, dtype=np.int64)
        own = np.zeros(shape, dtype=bool)
        for line, row in enumerate(mine):
            ids[line, : lengths[line]] = self.tokens.ids[self.tokens.offsets[row] : self.tokens.offsets[row + 1]]
            own[line, self.tokens.own[row, 0] : self.tokens.own[row, 1]] = True
        return TextBatch(
            input_ids_NT=torch.from_numpy(ids),
            attention_mask_NT=torch.from_numpy(np.arange(shape[1]) < lengths[:, None]).long(),
            own_mask_NT=torch.from_numpy(own),
            labels_N=torch.from_numpy(self.labels[mine]),
            rows_N=torch.from_numpy(mine),
            owned_N=torch.full((len(mine),), self.rank < len(rows)),
            labels_G=torch.from_numpy(self.labels[rows]),
        )


class TextDataModule(pl.LightningDataModule):
    """Batches of a corpus's text for one checkpoint's tokenizer.

    Args:
        batch_size: utterances per optimiser step, over all ranks.
        max_tokens: longest input, special tokens included; longer ones lose context first, then their end.
        context: `none`; `past`: earlier turns of the dialogue with speaker names; `both`: later turns as well.
        sampling: `shuffled`, or `oversampled` to draw every class equally often.
        table: the corpus table plus an integer column `label`.
        corpus_digest, checkpoint_digest: what the token cache's key is made of.
        checkpoint: folder of the tokenizer.
    """

    def __init__(
        self,
        batch_size: int,
        max_tokens: int,
        context: Literal["none", "past", "both"],
        sampling: Literal["shuffled", "oversampled"],
        *,
        table: pd.DataFrame,
        corpus_digest: str,
        checkpoint: Path,
        checkpoint_digest: str,
        cache: Path,
        seed: int,
        eval_batch_size: int,
        workers: int,
        rank: int,
        world_size: int,
    ) -> None:
        super().__init__()
        self.batch_size, self.eval_batch_size, self.workers, self.seed = batch_size, eval_batch_size, workers, seed
        self.context, self.rank, self.world_size = context, rank, world_size
        self.table, self.sampling = table.reset_index(drop=True), sampling
        self.labels = self.table["label"].to_numpy(np.int64)
        self.tokens = cached_tokens(
            self.table, checkpoint, max_tokens, context, cache / "tokens", [corpus_digest, checkpoint_digest]
        )

    def rows(self, split: str) -> np.ndarray:
        """Rows of the corpus table that belong to `split`."""
        return np.flatnonzero((self.table["split"] == split).to_numpy())

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps: the last batch may be smaller."""
        return -(-len(self.rows("train")) // self.batch_size)

    def train_dataloader(self) -> DataLoader:
        """Length-grouped global batches of train; resumes where a checkpoint left it."""
        rows = self.rows("train")
        draw = balanced_draw(self.labels[rows]) if self.sampling == "oversampled" else None
        plan = EpochPlan(self.tokens.lengths[rows], self.batch_size, self.seed, draw)
        return ResumableLoader(_Rows(self._dataset(), rows), plan, **self._options())

    def val_dataloader(self) -> DataLoader:
        """Val, each utterance once over all ranks."""
        return self.scoring_dataloader("val")

    def scoring_dataloader(self, split: str) -> DataLoader:
        """Any split, each utterance once over all ranks, longest first."""
        rows = self.rows(split)
        batches = by_length(self.tokens.lengths[rows], self.eval_batch_size, self.rank, self.world_size)
        alone = TextDataset(self.tokens, self.labels, 0, 1)  # the batches are this rank's own already
        return DataLoader(_Rows(alone, rows), sampler=batches, batch_size=None, **self._options())

    def _dataset(self) -> TextDataset:
        return TextDataset(self.tokens, self.labels, self.rank, self.world_size)

    def _options(self) -> dict:
        return {
            "num_workers": self.workers,
            "persistent_workers": self.workers > 0,
            "pin_memory": torch.cuda.is_available(),
        }


class _Rows(Dataset):
    """Translates positions within a split to rows of the corpus table."""

    def __init__(self, dataset: TextDataset, rows: np.ndarray) -> None:
        self.dataset, self.rows = dataset, rows

    def __getitem__(self, positions: Sequence[int] | np.ndarray) -> TextBatch:
        return self.dataset[self.rows[positions]]

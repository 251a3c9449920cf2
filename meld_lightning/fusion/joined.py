"""Logits of several runs joined by utterance key: what a fusion is fitted on and scores.

Reads run folders; used by fusing. Axes: M modalities, N utterances, C classes.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from meld_lightning.errors import UserError
from meld_lightning.runs.run import Run


class LogitsBatch(NamedTuple):
    """All utterances of a split, or of some folds of it."""

    log_probs_MNC: np.ndarray
    present_MN: np.ndarray
    labels_N: np.ndarray

    def where(self, chosen_N: np.ndarray) -> "LogitsBatch":
        """Those of `chosen_N` (indices or a mask) alone."""
        return LogitsBatch(
            self.log_probs_MNC[:, chosen_N], self.present_MN[:, chosen_N], self.labels_N[chosen_N]
        )


class Joined(NamedTuple):
    """A split's batch and whose rows they are."""

    batch: LogitsBatch
    keys_N: np.ndarray
    units_N: np.ndarray


class LogitsDataModule(pl.LightningDataModule):
    """The logits of one run a modality, joined by key; UserError for runs that do not belong
    together.

    Args:
        runs: modality -> finished run, in the order of M.
    """

    def __init__(self, runs: Mapping[str, Run]) -> None:
        super().__init__()
        self.modalities, self.runs = tuple(runs), runs
        first = next(iter(runs.values()))
        self.labels: tuple[str, ...] = tuple(first.result["labels"])
        for run in runs.values():
            for what, one, other in (
                ("not the same labels", self.labels, tuple(run.result["labels"])),
                (
                    "not the same corpus",
                    first.result["digests"]["corpus"],
                    run.result["digests"]["corpus"],
                ),
            ):
                if one != other:
                    raise UserError(
                        f"{first.folder} and {run.folder}: {what}; fuse runs of one corpus and"
                        " target"
                    )

    def joined(self, split: str) -> Joined:
        """The split's utterances in the order of the first run."""
        frames = [run.logits(split).set_index("key") for run in self.runs.values()]
        keys = frames[0].index
        for run, frame in zip(self.runs.values(), frames, strict=True):
            if set(frame.index) != set(keys):
                odd = sorted(set(frame.index) ^ set(keys))[0]
                raise UserError(
                    f"{run.folder}: scores other utterances of {split} than the others (such as"
                    f" {odd})"
                )
        frames = [frame.loc[keys] for frame in frames]
        logits_MNC = np.stack([frame[list(self.labels)].to_numpy(np.float64) for frame in frames])
        shifted = logits_MNC - logits_MNC.max(-1, keepdims=True)
        log_probs_MNC = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        place = {label: index for index, label in enumerate(self.labels)}
        labels_N = (
            frames[0]["label"].map(place).to_numpy(np.int64, copy=True)
        )  # pandas may give a read-only view
        present_MN = np.stack([frame["present"].to_numpy(bool) for frame in frames])
        return Joined(
            LogitsBatch(log_probs_MNC, present_MN, labels_N),
            keys.to_numpy(object),
            frames[0]["unit"].to_numpy(object),
        )


def in_one_batch(batch: LogitsBatch, steps: int) -> DataLoader:
    """The whole batch as tensors, `steps` times: a fit over a few thousand rows of logits needs no
    smaller ones."""
    import torch

    tensors = LogitsBatch(*(torch.tensor(part) for part in batch))  # type: ignore[arg-type]
    return DataLoader([tensors] * steps, batch_size=None)  # type: ignore[arg-type]

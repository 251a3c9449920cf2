"""Logits of several runs, and embeddings where a fusion reads them, joined by utterance key.

Reads run folders and writes nothing. Used by fit.py; every fusion is fitted on a `Joined` and
scores a `LogitsBatch`. Axes: M modalities, N utterances, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from meld_lightning.errors import UserError
from meld_lightning.runs.logits import logits_of
from meld_lightning.runs.run import Run

# A fusion is fitted on val and scored on test. Its runs have seen train, so their logits of train
# are never read.
SPLITS = ("val", "test")


class LogitsBatch(NamedTuple):
    """Log-probabilities of utterances by modality: all that a fusion sees when it scores them,
    unless it reads embeddings too."""

    log_probs_MNC: np.ndarray
    present_MN: np.ndarray  # False where the utterance lacks the modality
    # (N, D) of each modality, whose D differ; empty for a fusion that reads none
    embeddings_M: tuple[np.ndarray, ...] = ()

    def where(self, chosen_N: np.ndarray) -> "LogitsBatch":
        """The utterances that `chosen_N` (indices or a mask) selects."""
        return LogitsBatch(
            self.log_probs_MNC[:, chosen_N],
            self.present_MN[:, chosen_N],
            tuple(embeddings_ND[chosen_N] for embeddings_ND in self.embeddings_M),
        )


@dataclass(frozen=True)
class Joined:
    """The utterances of a split with their true labels: what a fusion is fitted on.

    modalities and labels name the axes M and C of `batch`; labels_N holds indices into `labels`.
    units_N names the dialogue, speaker or row that folds must not divide.
    """

    modalities: tuple[str, ...]
    labels: tuple[str, ...]
    batch: LogitsBatch
    labels_N: np.ndarray
    keys_N: np.ndarray
    units_N: np.ndarray

    def where(self, chosen_N: np.ndarray) -> "Joined":
        """The utterances that `chosen_N` (indices or a mask) selects."""
        return replace(
            self,
            batch=self.batch.where(chosen_N),
            labels_N=self.labels_N[chosen_N],
            keys_N=self.keys_N[chosen_N],
            units_N=self.units_N[chosen_N],
        )


class JoinedRuns:
    """One run per modality, joined by utterance key.

    Args:
        runs: modality -> finished run, in the order of the axis M.
        embeddings: whether to read the runs' embeddings as well.

    Raises UserError for runs whose corpus or labels differ.
    """

    def __init__(self, runs: Mapping[str, Run], embeddings: bool = False) -> None:
        self.modalities, self.runs, self.embeddings = tuple(runs), runs, embeddings
        first = next(iter(runs.values()))
        self.labels: tuple[str, ...] = tuple(first.result.labels)
        for run in runs.values():
            for what, one, other in (
                ("labels", self.labels, tuple(run.result.labels)),
                ("corpus", first.result.digests["corpus"], run.result.digests["corpus"]),
            ):
                if one != other:
                    raise UserError(
                        f"{first.folder} and {run.folder}: not the same {what}; fuse runs of one"
                        " corpus and one target"
                    )

    def split(self, name: str) -> Joined:
        """The utterances of a split, in the order of the first run.

        Raises UserError where the runs do not score the same utterances.
        """
        frames = [run.logits(name).set_index("key") for run in self.runs.values()]
        keys = frames[0].index
        for run, frame in zip(self.runs.values(), frames, strict=True):
            if set(frame.index) != set(keys):
                odd = sorted(set(frame.index) ^ set(keys))[0]
                raise UserError(
                    f"{run.folder}: its utterances of {name} are not those of the other runs (for"
                    f" example {odd}); fuse runs of one corpus and one split of it"
                )
        frames = [frame.loc[keys] for frame in frames]
        logits_MNC = np.stack([logits_of(frame, self.labels) for frame in frames])
        present_MN = np.stack([frame["present"].to_numpy(bool) for frame in frames])
        with_embeddings = self.runs.values() if self.embeddings else ()
        embeddings_M = tuple(run.embeddings(name, list(keys)) for run in with_embeddings)
        index = {label: number for number, label in enumerate(self.labels)}
        return Joined(
            modalities=self.modalities,
            labels=self.labels,
            batch=LogitsBatch(normalised(logits_MNC), present_MN, embeddings_M),
            # a copy: pandas may give a read-only view
            labels_N=frames[0]["label"].map(index).to_numpy(np.int64, copy=True),
            keys_N=keys.to_numpy(object),
            units_N=frames[0]["unit"].to_numpy(object),
        )


def normalised(scores: np.ndarray) -> np.ndarray:
    """Log-scores (..., C), shifted so that their exponentials sum to 1."""
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))

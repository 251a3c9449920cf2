"""The calibrated answer of a run or fusion on val, from which abstention thresholds and conformal
sets are chosen.

Reads the logits of a finished run; writes and reads val_scores.safetensors, which `export` puts
into its folder. Used by source.py and answers/decision.py. Axes: N utterances, C classes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from meld_lightning.errors import UserError, first_line
from meld_lightning.fusion.joined import JoinedRuns, normalised
from meld_lightning.fusion.likelihood_ratio import Single
from meld_lightning.runs.logits import logits_of
from meld_lightning.runs.run import Run
from meld_lightning.storage.atomic import atomic_write

FILE = "val_scores.safetensors"
SUM = 1e-6  # by which a row of probabilities may differ from 1


@dataclass(frozen=True)
class ValScores:
    """Calibrated probabilities of the val utterances that have at least one modality.

    labels: names along the axis C.
    probabilities_NC: float64, each row sums to 1.
    labels_N: true labels, indices into `labels`.
    """

    labels: tuple[str, ...]
    probabilities_NC: np.ndarray
    labels_N: np.ndarray

    @property
    def confidences(self) -> np.ndarray:
        """The largest probability of each utterance (N,)."""
        return self.probabilities_NC.max(1)

    @property
    def mistakes(self) -> np.ndarray:
        """Whether the most probable label of each utterance is not the true one (N,)."""
        return self.probabilities_NC.argmax(1) != self.labels_N

    def check(self) -> None:
        """ValueError unless the arrays are what the docstring of the class says."""
        shape = (len(self.labels_N), len(self.labels))
        if self.probabilities_NC.shape != shape:
            raise ValueError(f"probabilities {self.probabilities_NC.shape}, expected {shape}")
        if self.labels_N.ndim != 1 or self.labels_N.dtype.kind != "i":
            raise ValueError("labels that are no list of whole numbers")
        if not np.isin(self.labels_N, np.arange(len(self.labels))).all():
            raise ValueError(f"a label outside 0 to {len(self.labels) - 1}")
        sums_N = self.probabilities_NC.sum(1)
        if not ((self.probabilities_NC >= 0).all() and (np.abs(sums_N - 1) < SUM).all()):
            raise ValueError("probabilities that do not sum to 1")

    def save(self, folder: Path) -> None:
        """Writes FILE into `folder`, without the keys of utterances."""
        from safetensors.numpy import save

        arrays = {"probabilities": self.probabilities_NC, "labels": self.labels_N}
        with atomic_write(folder / FILE) as fresh:
            fresh.write_bytes(save(arrays, {"labels": json.dumps(self.labels)}))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads FILE in `folder`; UserError if it is missing or damaged."""
        from safetensors import SafetensorError, safe_open

        path = folder / FILE
        try:
            with safe_open(path, "numpy") as file:
                labels = tuple(json.loads(file.metadata()["labels"]))
                found = cls(labels, file.get_tensor("probabilities"), file.get_tensor("labels"))
            found.check()
            return found
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            said = first_line(error)
            raise UserError(f"{path}: missing or damaged ({said}); export it again") from error


def calibrated_run(run: Run) -> Single:
    """One run as a fusion of one modality, with a temperature fitted on its val logits."""
    single = Single(run.result.modality, run.result.modality)
    single.fit(JoinedRuns({run.result.modality: run}).split("val"), seed=0)
    return single


def val_scores_of(run: Run) -> ValScores:
    """The calibrated answer of a finished run or fusion on val.

    A fusion's val logits come from nested cross-validation: each utterance is scored by a fusion
    that was fitted without its dialogue. A single run's temperature is fitted, and its epoch
    chosen, on the same utterances, so its probabilities are slightly optimistic.
    """
    frame = run.logits("val")
    if run.result.modality == "fusion":
        log_probs_NC = normalised(logits_of(frame, run.result.labels))
    else:
        log_probs_NC = calibrated_run(run)(
            JoinedRuns({run.result.modality: run}).split("val").batch
        )
    present_N = frame["present"].to_numpy(bool)
    return ValScores(
        run.result.labels,
        np.exp(log_probs_NC)[present_N],
        _indices(frame["label"], run.result.labels)[present_N],
    )


def _indices(names: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    place = {label: number for number, label in enumerate(labels)}
    return np.array([place[name] for name in names], dtype=np.int64)

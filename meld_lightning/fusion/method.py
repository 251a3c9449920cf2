"""The contract that every fusion method keeps, and what all of them share.

Reads and writes no files. A new method is a subclass of `Fusion` and a YAML file that names it
under conf/fusion/ or the user's own --config-dir.

Axes: M modalities, N utterances, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from meld_lightning.fusion.joined import Joined, LogitsBatch

FLOOR = -30.0  # the least log-probability: a modality that rules out a class may still be wrong


class Fusion(ABC):
    """A fusion method: fitted on val by `fit`, then called on batches of the same modalities.

    A subclass writes `__call__` and, where it fits anything, `fit_to`. So that a fitted fusion can
    be saved (state.py), it follows scikit-learn's convention that each argument of the constructor
    is kept under its own name, and lists in `fitted` the attributes that `fit_to` sets, all of them
    numpy arrays.

    Args:
        name: what run folders and tables call the fusion.

    Class attributes:
        fitted: names of the arrays that `fit_to` sets.
        fits: False for a method whose scores do not depend on what it was fitted on.
        reads_embeddings: True for a method whose batches need `embeddings_M`; it lists width_M,
            their dimensions, in `fitted`.

    Attributes once fitted:
        modalities, labels: names along the axes M and C.
        prior_C: log shares of the labels it was fitted on.
    """

    fitted: ClassVar[tuple[str, ...]] = ()
    fits: ClassVar[bool] = True
    reads_embeddings: ClassVar[bool] = False
    modalities: tuple[str, ...]
    labels: tuple[str, ...]
    prior_C: np.ndarray
    width_M: np.ndarray

    def __init__(self, name: str) -> None:
        self.name = name

    def candidates(self, modalities: Sequence[str]) -> "dict[str, Fusion]":
        """The fusions that cross-validation chooses from: this one alone, because a method asked
        for by name is never replaced; chosen.py offers several."""
        return {self.name: self}

    def left_out(self, modalities: Sequence[str]) -> list[str]:
        """Those of `modalities` that this fusion cannot use, whatever their logits are."""
        return []

    def fit(self, data: Joined, seed: int) -> None:
        """Fits the fusion on labelled utterances, which are always some of val."""
        self.modalities, self.labels = data.modalities, data.labels
        self.prior_C = log_prior(data.labels_N, len(data.labels))
        self.fit_to(data, seed)

    def fit_to(self, data: Joined, seed: int) -> None:  # noqa: B027 -- an average fits nothing
        """Fits what is the method's own, and sets the attributes in `fitted`."""

    @abstractmethod
    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        """Normalised log-scores (N, C)."""

    def describe(self) -> dict[str, Any]:
        """What was fitted, for fusion.json."""
        return {}

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that was fitted, by name."""
        return {name: np.asarray(getattr(self, name)) for name in ("prior_C", *self.fitted)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets what `arrays()` returned; `modalities` and `labels` are already set."""
        for name in ("prior_C", *self.fitted):
            setattr(self, name, arrays[name])


def log_prior(labels_N: np.ndarray, classes: int) -> np.ndarray:
    """Log shares of the labels (C,), each count raised by one."""
    counts_C = np.bincount(labels_N, minlength=classes) + 1.0
    return np.log(counts_C / counts_C.sum())


def by_name(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    """A value for each name, as JSON holds it."""
    return {name: float(value) for name, value in zip(names, values, strict=True)}

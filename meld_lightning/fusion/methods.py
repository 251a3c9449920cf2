"""Late fusion: one prediction from the logits of several modalities, any of which may be missing.

Used by fusing with what data/logits.py joins; knows nothing of files. Every fusion but the paper's
average sees a modality as evidence: its calibrated log-probabilities less the log prior. Added to
the log prior, evidence of modalities that are independent given the emotion is the best possible
fusion (Kittler et al., On combining classifiers, IEEE TPAMI 1998, equation 11), and a missing
modality is no evidence.

Axes: M modalities, N utterances, C classes, W candidate weights.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from meld_lightning import metrics
from meld_lightning.errors import UserError
from meld_lightning.fusion.joined import LogitsBatch
from meld_lightning.fusion.modules import LinearFusion, StackedFusion, fit_module, module_scores

FLOOR = -30.0  # of a log-probability: a modality that rules a class out may still be wrong


class Fusion(ABC):
    """Fitted on val by `fit`, then called on any batch with the same modalities: log-scores (N,
    C)."""

    def __init__(self, name: str) -> None:
        self.name = name

    def candidates(self, modalities: Sequence[str]) -> "dict[str, Fusion]":
        """What cross-validation chooses among."""
        return {self.name: self}

    @abstractmethod
    def fit(self, batch: LogitsBatch, modalities: Sequence[str], seed: int) -> None:
        """Fits on the batch."""

    @abstractmethod
    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        """Log-scores (N, C), normalised."""

    def describe(self) -> dict[str, Any]:
        """What was fitted, JSON-able."""
        return {}


class Average(Fusion):
    """The paper's: a weighted mean of probabilities with fixed weights, text weighted most.

    Args:
        weights: modality -> weight; brought to sum 1 over the modalities that an utterance has.
    """

    def __init__(self, name: str, weights: dict) -> None:
        super().__init__(name)
        self.weights = weights

    def fit(self, batch: LogitsBatch, modalities: Sequence[str], seed: int) -> None:
        absent = [name for name in modalities if name not in self.weights]
        if absent:
            raise UserError(
                f"the weights of fusion {self.name} have no {absent[0]}: add one where conf/fusion"
                " gives them"
            )
        self.weight_M = np.array([float(self.weights[name]) for name in modalities])
        self.modalities, self.prior_C = tuple(modalities), log_prior(batch)

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        weight_MN = self.weight_M[:, None] * batch.present_MN
        total_N = weight_MN.sum(0)
        mixed_NC = np.einsum("mn,mnc->nc", weight_MN, np.exp(batch.log_probs_MNC))
        mixed_NC = np.where(
            total_N[:, None] > 0,
            mixed_NC / np.maximum(total_N, 1e-12)[:, None],
            np.exp(self.prior_C),
        )
        return normalised(np.log(np.maximum(mixed_NC, np.exp(FLOOR))))

    def describe(self) -> dict[str, Any]:
        return {"weights": _named(self.modalities, self.weight_M / self.weight_M.sum())}


class _OnEvidence(Fusion):
    """Calibrates each modality by a temperature of its own before anything else.

    A modality that no utterance had when this was fitted is no evidence later either: nothing is
    known of its worth.
    """

    def fit(self, batch: LogitsBatch, modalities: Sequence[str], seed: int) -> None:
        self.modalities, self.prior_C = tuple(modalities), log_prior(batch)
        self.known_M = np.asarray(batch.present_MN.any(axis=1))
        self.temperature_M = np.array(
            [_temperature(batch, place) for place in range(len(modalities))]
        )
        self.fit_evidence(self.evidence(batch), batch, seed)

    def evidence(self, batch: LogitsBatch) -> np.ndarray:
        """(M, N, C): how far each modality moves the log prior; 0 where it is missing."""
        calibrated_MNC = normalised(batch.log_probs_MNC / self.temperature_M[:, None, None])
        return np.where(
            self.present(batch)[..., None], np.maximum(calibrated_MNC, FLOOR) - self.prior_C, 0.0
        )

    def present(self, batch: LogitsBatch) -> np.ndarray:
        """(M, N): which modalities an utterance has, of those known when this was fitted."""
        return batch.present_MN & self.known_M[:, None]

    def fit_evidence(self, evidence_MNC: np.ndarray, batch: LogitsBatch, seed: int) -> None:
        """What is fitted besides the temperatures."""

    def describe(self) -> dict[str, Any]:
        unknown = [
            name for name, known in zip(self.modalities, self.known_M, strict=True) if not known
        ]
        return {"temperatures": _named(self.modalities, self.temperature_M), "never_seen": unknown}


class Single(_OnEvidence):
    """One modality alone, the prior where it is missing: what a fusion has to beat."""

    def __init__(self, name: str, modality: str) -> None:
        super().__init__(name)
        self.modality = modality

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        return normalised(self.prior_C + self.evidence(batch)[self.modalities.index(self.modality)])

    def describe(self) -> dict[str, Any]:
        weights = [float(name == self.modality) for name in self.modalities]
        return {**super().describe(), "weights": _named(self.modalities, np.array(weights))}


class Searched(_OnEvidence):
    """Weights on the simplex, searched on a grid for the best weighted F1; equal weights count
    every modality once.

    Args:
        steps: parts that a whole is divided into; 20 are weights in steps of .05.
    """

    def __init__(self, name: str, steps: int) -> None:
        super().__init__(name)
        self.steps = steps

    def fit_evidence(self, evidence_MNC: np.ndarray, batch: LogitsBatch, seed: int) -> None:
        grid_WM = simplex(len(self.modalities), self.steps)
        f1_W = weight_scores(self.prior_C, evidence_MNC, grid_WM, batch.labels_N)
        even_W = ((grid_WM - 1 / len(self.modalities)) ** 2).sum(1)
        self.weight_M = grid_WM[np.lexsort((even_W, -f1_W.round(12)))[0]]  # of equals the most even

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        scaled_M = self.weight_M * len(self.modalities)
        return normalised(self.prior_C + np.einsum("m,mnc->nc", scaled_M, self.evidence(batch)))

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "weights": _named(self.modalities, self.weight_M)}


class Learned(_OnEvidence):
    """A weight a modality and a bias a class, fitted to the likelihood of val; a pull keeps them
    near 1 and 0.

    Args:
        pull: strength of the squared penalty on the weights' distance from 1 and the biases', in
            utterances.
    """

    def __init__(self, name: str, pull: float) -> None:
        super().__init__(name)
        self.pull = pull

    def fit_evidence(self, evidence_MNC: np.ndarray, batch: LogitsBatch, seed: int) -> None:
        self.module = LinearFusion(self.prior_C, len(self.modalities), self.pull)
        fit_module(
            self.module, LogitsBatch(evidence_MNC, batch.present_MN, batch.labels_N), steps=1
        )

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        return normalised(module_scores(self.module, self.evidence(batch), self.present(batch)))

    def describe(self) -> dict[str, Any]:
        weight_M = self.module.weight_M.detach().numpy()
        biases = self.module.bias_C.detach().numpy().tolist()
        return {
            **super().describe(),
            "weights": _named(self.modalities, weight_M),
            "biases": biases,
        }


class Stacked(_OnEvidence):
    """A small network on all evidence, added to its sum; whole modalities are dropped at random
    while it is fitted.

    Args:
        hidden: units of the one hidden layer.
        modality_dropout: how often a modality is left out.
        steps: optimiser steps over all of val.
        weight_decay: as in AdamW.
    """

    def __init__(
        self, name: str, hidden: int, modality_dropout: float, steps: int, weight_decay: float
    ) -> None:
        super().__init__(name)
        self.hidden, self.modality_dropout, self.steps, self.weight_decay = (
            hidden,
            modality_dropout,
            steps,
            weight_decay,
        )

    def fit_evidence(self, evidence_MNC: np.ndarray, batch: LogitsBatch, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = StackedFusion(
                self.prior_C,
                len(self.modalities),
                self.hidden,
                self.modality_dropout,
                self.weight_decay,
            )
            fit_module(
                self.module, LogitsBatch(evidence_MNC, batch.present_MN, batch.labels_N), self.steps
            )

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        return normalised(module_scores(self.module, self.evidence(batch), self.present(batch)))


class Chosen(Fusion):
    """The best of several fusions and of the single modalities, by cross-validation; see fusing.

    Args:
        among: name -> fusion.
    """

    def __init__(self, name: str, among: dict) -> None:
        super().__init__(name)
        self.among = among

    def candidates(self, modalities: Sequence[str]) -> dict[str, Fusion]:
        """The single modalities first: of equals the simplest is taken."""
        single = {
            f"{modality} alone": Single(f"{modality} alone", modality) for modality in modalities
        }
        return {**single, **(self.among if len(modalities) > 1 else {})}

    def fit(self, batch: LogitsBatch, modalities: Sequence[str], seed: int) -> None:
        raise TypeError("a choice is fitted through its candidates")

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        raise TypeError("a choice is asked through its candidates")


def log_prior(batch: LogitsBatch) -> np.ndarray:
    """Log shares of the labels (C,), add-one."""
    counts_C = np.bincount(batch.labels_N, minlength=batch.log_probs_MNC.shape[-1]) + 1.0
    return np.log(counts_C / counts_C.sum())


def normalised(scores: np.ndarray) -> np.ndarray:
    """Log-scores (..., C) so that their exponentials sum to 1."""
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def simplex(modalities: int, steps: int) -> np.ndarray:
    """Every vector of multiples of 1/steps that sums to 1, (W, M)."""
    ranges = (
        np.meshgrid(*[np.arange(steps + 1)] * (modalities - 1), indexing="ij")
        if modalities > 1
        else []
    )
    first = np.stack([axis.ravel() for axis in ranges], 1) if ranges else np.zeros((1, 0), int)
    whole = np.concatenate([first, steps - first.sum(1, keepdims=True)], 1)
    return whole[(whole >= 0).all(1)] / steps


def weight_scores(
    prior_C: np.ndarray, evidence_MNC: np.ndarray, weights_WM: np.ndarray, labels_N: np.ndarray
) -> np.ndarray:
    """Weighted F1 of every weighting (W,), by confusion counts of many at once.

    A class at a time, keeping the best so far: argmax over an axis as short as the classes takes
    three times as long.
    """
    modalities, _, classes = evidence_MNC.shape
    evidence_CMN = np.ascontiguousarray(evidence_MNC.transpose(2, 0, 1))
    counts = []
    for start in range(
        0, len(weights_WM), 16
    ):  # 16 weightings' scores of one class stay in a CPU's cache
        block_WM = weights_WM[start : start + 16] * modalities
        best_WN = block_WM @ evidence_CMN[0] + prior_C[0]
        predicted_WN = np.zeros(best_WN.shape, dtype=np.uint8)
        for place in range(1, classes):
            score_WN = block_WM @ evidence_CMN[place]
            score_WN += prior_C[place]
            # of equals the first, as argmax
            np.maximum(predicted_WN, (score_WN > best_WN) * np.uint8(place), out=predicted_WN)
            np.maximum(best_WN, score_WN, out=best_WN)
        counts += [
            np.bincount(row_N, minlength=classes**2) for row_N in labels_N * classes + predicted_WN
        ]
    return metrics.from_confusion(np.reshape(counts, (-1, classes, classes)))["weighted_f1"]


def _temperature(batch: LogitsBatch, place: int) -> float:
    """What a modality's logits are divided by so that its probabilities fit val best (Guo et al.,
    On calibration of modern neural networks, ICML 2017, section 4.2)."""
    from scipy.optimize import minimize_scalar

    has_N = batch.present_MN[place]
    if not has_N.any():
        return 1.0
    log_probs_NC, labels_N = batch.log_probs_MNC[place][has_N], batch.labels_N[has_N]

    def loss(log_temperature: float) -> float:
        scaled = normalised(log_probs_NC / np.exp(log_temperature))
        return float(-np.maximum(scaled[np.arange(len(labels_N)), labels_N], FLOOR).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def _named(modalities: Sequence[str], values: np.ndarray) -> Mapping[str, float]:
    return {name: float(value) for name, value in zip(modalities, values, strict=True)}

"""The fusion whose weights are searched on a grid, for the best weighted F1.

Reads and writes no files. Axes: M modalities, N utterances, C classes, W candidate weights.
"""

import itertools
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from meld_lightning import metrics
from meld_lightning.fusion.joined import Joined, LogitsBatch, normalised
from meld_lightning.fusion.likelihood_ratio import EvidenceFusion
from meld_lightning.fusion.method import by_name

BLOCK = 16  # weightings scored at once: their scores of one class stay in a CPU's cache


class Searched(EvidenceFusion):
    """The log prior plus weighted evidence. Weights sum to 1, and equal weights count every
    modality once.

    Args:
        steps: how many steps divide the range from 0 to 1; 20 gives weights in steps of .05.
    """

    fitted = (*EvidenceFusion.fitted, "weight_M")

    def __init__(self, name: str, steps: Annotated[int, Field(ge=1)] = 20) -> None:
        super().__init__(name)
        self.steps = steps

    def fit_to_evidence(self, evidence_MNC: np.ndarray, data: Joined, seed: int) -> None:
        grid_WM = simplex(len(self.modalities), self.steps)
        f1_W = weight_scores(self.prior_C, evidence_MNC, grid_WM, data.labels_N)
        uneven_W = ((grid_WM - 1 / len(self.modalities)) ** 2).sum(1)
        # where scores are equal, the most even weights
        self.weight_M = grid_WM[np.lexsort((uneven_W, -f1_W.round(12)))[0]]

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        scaled_M = self.weight_M * len(self.modalities)
        return normalised(self.prior_C + np.einsum("m,mnc->nc", scaled_M, self.evidence(batch)))

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "weights": by_name(self.modalities, self.weight_M)}


def simplex(modalities: int, steps: int) -> np.ndarray:
    """Every vector of multiples of 1/steps that sums to 1, (W, M)."""
    all_but_one = np.array(list(itertools.product(range(steps + 1), repeat=modalities - 1)))
    all_WM = np.concatenate([all_but_one, steps - all_but_one.sum(1, keepdims=True)], 1)
    return all_WM[(all_WM >= 0).all(1)] / steps


def weight_scores(
    prior_C: np.ndarray, evidence_MNC: np.ndarray, weights_WM: np.ndarray, labels_N: np.ndarray
) -> np.ndarray:
    """Weighted F1 of each weighting (W,), from the confusion counts of many weightings at once.

    The largest score is found one class at a time: argmax over an axis as short as the classes
    takes three times as long.
    """
    modalities, _, classes = evidence_MNC.shape
    evidence_CMN = np.ascontiguousarray(evidence_MNC.transpose(2, 0, 1))
    counts = []
    for start in range(0, len(weights_WM), BLOCK):
        block_WM = weights_WM[start : start + BLOCK] * modalities
        best_WN = block_WM @ evidence_CMN[0]
        best_WN += prior_C[0]
        score_WN, predicted_WN = np.empty_like(best_WN), np.zeros(best_WN.shape, dtype=np.uint8)
        for number in range(1, classes):
            np.matmul(block_WM, evidence_CMN[number], out=score_WN)
            score_WN += prior_C[number]
            # of equal scores the first class, as argmax does
            np.maximum(predicted_WN, (score_WN > best_WN) * np.uint8(number), out=predicted_WN)
            np.maximum(best_WN, score_WN, out=best_WN)
        counts += [
            np.bincount(row_N, minlength=classes**2) for row_N in labels_N * classes + predicted_WN
        ]
    return metrics.from_confusion(np.reshape(counts, (-1, classes, classes)))["weighted_f1"]

"""The paper's fusion: a weighted mean of the modalities' probabilities, with fixed weights.

Reads and writes no files. Axes: M modalities, N utterances, C classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from meld_lightning.errors import UserError
from meld_lightning.fusion.joined import Joined, LogitsBatch, normalised
from meld_lightning.fusion.method import FLOOR, Fusion, by_name


class Average(Fusion):
    """A weighted mean of probabilities over the modalities that an utterance has.

    Args:
        weights: the weight of each modality, at least 0, divided by the sum over those that are
            present. A modality without a weight is left out. null: all have the same weight.
    """

    fitted = ("weight_M",)

    def __init__(self, name: str, weights: Mapping[str, float] | None) -> None:
        super().__init__(name)
        self.weights = (
            None
            if weights is None
            else {str(modality): float(weight) for modality, weight in weights.items()}
        )

    def candidates(self, modalities: Sequence[str]) -> dict[str, Fusion]:
        for modality, weight in (self.weights or {}).items():
            if not 0 <= weight < np.inf:
                raise UserError(
                    f"fusion.weights.{modality}={weight:g}: expected a number from 0 up"
                )
        left_out = self.left_out(modalities)
        if len(left_out) == len(modalities):
            raise UserError(
                f"fusion={self.name} has no weight for {' or '.join(left_out)}: give one as"
                f" +fusion.weights.{left_out[0]}=0.5, or choose another fusion="
            )
        return super().candidates(modalities)

    def left_out(self, modalities: Sequence[str]) -> list[str]:
        if self.weights is None:
            return []
        return [name for name in modalities if not self.weights.get(name)]

    def fit_to(self, data: Joined, seed: int) -> None:
        if self.weights is None:
            self.weight_M = np.ones(len(data.modalities))
        else:
            self.weight_M = np.array([self.weights.get(name, 0.0) for name in data.modalities])

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        weight_MN = self.weight_M[:, None] * batch.present_MN
        total_N = weight_MN.sum(0)
        mixed_NC = np.einsum("mn,mnc->nc", weight_MN, np.exp(batch.log_probs_MNC))
        mean_NC = mixed_NC / np.maximum(total_N, 1e-12)[:, None]
        probs_NC = np.where(total_N[:, None] > 0, mean_NC, np.exp(self.prior_C))
        return normalised(np.log(np.maximum(probs_NC, np.exp(FLOOR))))

    def describe(self) -> dict[str, Any]:
        return {
            "weights": by_name(self.modalities, self.weight_M / self.weight_M.sum()),
            "left_out": self.left_out(self.modalities),
        }

"""Each modality's evidence for each emotion as a log likelihood ratio, and one modality
recalibrated.

The evidence of a modality is its calibrated log-probabilities minus the log prior; every fusion but
the paper's average builds on it. Where modalities are independent given the emotion, the log prior
plus the sum of their evidence is the best possible fusion (Kittler et al., On combining
classifiers, IEEE TPAMI 1998, equation 11). A missing modality is evidence of zero.

This assumes that a run's probabilities contain the class prior, estimated by the shares of val.
Those of a run trained with model.loss=logit_adjusted, class weights or oversampling do not, so that
subtracting the log prior favours rare classes too much. A temperature cannot correct this;
parameters per class (matrix, stacked, the biases of learned) can in part.

Reads and writes no files. Axes: M modalities, N utterances, C classes.
"""

from typing import Any, ClassVar

import numpy as np

from meld_lightning.fusion.joined import Joined, LogitsBatch, normalised
from meld_lightning.fusion.method import FLOOR, Fusion, by_name


class EvidenceFusion(Fusion):
    """Base of the fusions that first calibrate each modality by a temperature.

    A modality that no utterance had during fitting counts as missing ever after, because nothing is
    known of its quality.
    """

    fitted: ClassVar[tuple[str, ...]] = ("known_M", "temperature_M")

    def fit_to(self, data: Joined, seed: int) -> None:
        self.known_M = np.asarray(data.batch.present_MN.any(axis=1))
        self.temperature_M = np.array(
            [
                temperature(log_probs_NC[present_N], data.labels_N[present_N])
                for log_probs_NC, present_N in zip(
                    data.batch.log_probs_MNC, data.batch.present_MN, strict=True
                )
            ]
        )
        self.fit_to_evidence(self.evidence(data.batch), data, seed)

    def fit_to_evidence(self, evidence_MNC: np.ndarray, data: Joined, seed: int) -> None:
        """Fits what is the method's own, given the evidence of `data`."""

    def evidence(self, batch: LogitsBatch) -> np.ndarray:
        """How far each modality moves the log prior (M, N, C); 0 where it is missing."""
        calibrated_MNC = normalised(batch.log_probs_MNC / self.temperature_M[:, None, None])
        return np.where(
            self.present(batch)[..., None], np.maximum(calibrated_MNC, FLOOR) - self.prior_C, 0.0
        )

    def present(self, batch: LogitsBatch) -> np.ndarray:
        """Which modalities each utterance has, of those seen during fitting (M, N)."""
        return batch.present_MN & self.known_M[:, None]

    def describe(self) -> dict[str, Any]:
        return {
            "temperatures": by_name(self.modalities, self.temperature_M),
            "never_seen": [
                name for name, known in zip(self.modalities, self.known_M, strict=True) if not known
            ],
        }


class Single(EvidenceFusion):
    """One modality, recalibrated on val; where it is missing, the shares of val.

    Args:
        modality: the one to use.
    """

    def __init__(self, name: str, modality: str) -> None:
        super().__init__(name)
        self.modality = modality

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        return normalised(self.prior_C + self.evidence(batch)[self.modalities.index(self.modality)])

    def describe(self) -> dict[str, Any]:
        weights = {name: float(name == self.modality) for name in self.modalities}
        return {**super().describe(), "weights": weights}


def temperature(log_probs_NC: np.ndarray, labels_N: np.ndarray) -> float:
    """The number that log-probabilities are divided by so that they fit the labels best.

    From Guo et al., On calibration of modern neural networks, ICML 2017, section 4.2. 1 where there
    is no utterance.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels_N):
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled_NC = normalised(log_probs_NC / np.exp(log_temperature))
        return float(-np.maximum(scaled_NC[np.arange(len(labels_N)), labels_N], FLOOR).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))

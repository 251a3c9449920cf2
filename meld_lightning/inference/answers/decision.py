"""From logits to answers: calibrated probabilities, each modality's share in the decision, entropy,
abstention and conformal sets.

Reads and writes no files. Used by predictor.py.

Axes: M modalities, N items, C classes, S subsets of the modalities.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from meld_lightning.fusion.joined import LogitsBatch, normalised

Fuse = Callable[[LogitsBatch], np.ndarray]


@dataclass(frozen=True)
class Answers:
    """The answer to each item; without any modality it is the prior alone.

    log_probs_NC: calibrated log-probabilities.
    share_MN: each modality's share in the decision, see `shares`.
    """

    log_probs_NC: np.ndarray
    share_MN: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """Calibrated probabilities (N, C); each row sums to 1."""
        return np.exp(self.log_probs_NC)

    @property
    def entropies(self) -> np.ndarray:
        """Entropy in bits (N,): 0 for certainty, log2(C) where all labels are equally probable."""
        p_NC = self.probabilities
        terms_NC = np.where(p_NC > 0, p_NC * self.log_probs_NC, 0.0)
        return np.maximum(-terms_NC.sum(1) / np.log(2), 0.0)


def decide(fuse: Fuse, batch: LogitsBatch, prior_MC: np.ndarray) -> Answers:
    """The fused answer to each item, with each modality's share in it.

    fuse: a fitted fusion.
    prior_MC: the log-probabilities that each run gives an item without its modality.
    """
    batch = without_absent(batch, prior_MC)
    log_probs_NC = normalised(fuse(batch))
    return Answers(log_probs_NC, shares(fuse, batch, prior_MC, log_probs_NC.argmax(1)))


def without_absent(batch: LogitsBatch, prior_MC: np.ndarray) -> LogitsBatch:
    """The batch with each run's own prior for missing modalities, as when the run was scored."""
    log_probs_MNC = np.where(batch.present_MN[..., None], batch.log_probs_MNC, prior_MC[:, None, :])
    return batch._replace(log_probs_MNC=log_probs_MNC)


def shares(
    fuse: Fuse, batch: LogitsBatch, prior_MC: np.ndarray, predicted_N: np.ndarray
) -> np.ndarray:
    """Each modality's share in the decision for the predicted label (M, N).

    The Shapley value of a modality is its mean contribution to the log-probability of the predicted
    label, over all orders in which the modalities could have been added (Lundberg and Lee, A
    unified approach to interpreting model predictions, NeurIPS 2017, equation 4); all 2^M subsets
    are evaluated. The share is this value divided by the sum of the absolute values. A modality
    that speaks against the predicted label has a negative share; a missing one has a share of 0.
    """
    count = len(batch.present_MN)
    rows_N = np.arange(len(predicted_N))
    subsets = list(itertools.product((False, True), repeat=count))
    value_SN = {
        kept: fuse(_only(batch, np.array(kept), prior_MC))[rows_N, predicted_N] for kept in subsets
    }
    phi_MN = np.zeros(batch.present_MN.shape)
    orders = math.factorial(count)
    for kept in subsets:
        for place in range(count):
            if not kept[place]:
                before, after = sum(kept), count - sum(kept) - 1
                weight = math.factorial(before) * math.factorial(after) / orders
                added = (*kept[:place], True, *kept[place + 1 :])
                phi_MN[place] += weight * (value_SN[added] - value_SN[kept])
    total_N = np.abs(phi_MN).sum(0)
    return np.divide(phi_MN, total_N, out=np.zeros_like(phi_MN), where=total_N > 1e-12)


def _only(batch: LogitsBatch, kept_M: np.ndarray, prior_MC: np.ndarray) -> LogitsBatch:
    """The batch as if all modalities outside `kept_M` were missing."""
    present_MN = batch.present_MN & kept_M[:, None]
    return without_absent(batch._replace(present_MN=present_MN), prior_MC)

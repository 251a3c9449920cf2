"""Scoring of a split: metrics of an epoch, and the logits of all ranks in one array.

Used by models/classifier.py and training/scored.py.

Axes: N utterances (of a batch, or of a split), C classes, K true or predicted class.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassConfusionMatrix

from meld_lightning import metrics

# A label's probability counts as at least this where its logarithm is the logit; it is 0 for a
# label that a checkpoint does not know.
MIN_PROBABILITY = 1e-12


class ScoredBatch(NamedTuple):
    """Logits of one batch and the corpus rows they belong to, on the CPU."""

    rows_N: torch.Tensor
    labels_N: torch.Tensor
    logits_NC: torch.Tensor


class SplitScores(nn.Module):
    """Loss and metrics of a whole split, accumulated batch by batch and summed over ranks.

    torchmetrics keeps the counts and sums them over ranks, which is exact for integers. The values
    are computed from these counts by `metrics.from_confusion` in float64: torchmetrics' own F1
    would be float32, and a near tie could choose another epoch. Tests hold both to each other.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.confusion = MulticlassConfusionMatrix(classes, validate_args=False)
        # "disable": looking for NaN makes a GPU wait
        self.loss = MeanMetric(nan_strategy="disable")
        # the share of utterances whose own logits are finite
        self.finite = MeanMetric(nan_strategy="disable")

    def reset(self) -> None:
        """Forget all batches."""
        self.confusion.reset()
        self.finite.reset()
        # Lightning has moved the module to its device by now; MPS has no float64
        self.loss.set_dtype(torch.float32 if self.loss.device.type == "mps" else torch.float64)
        self.loss.reset()

    def update(self, labels_N: torch.Tensor, logits_NC: torch.Tensor) -> None:
        """Add utterances (labels and logits on the CPU); no two ranks may add the same one.

        Logits that are not finite make the loss NaN.
        """
        losses_N = functional.cross_entropy(logits_NC.double(), labels_N, reduction="none")
        losses_N = losses_N.masked_fill(~logits_NC.isfinite().all(1), float("nan"))
        self.loss.update(losses_N.to(self.loss.device, self.loss.dtype, non_blocking=True))
        device = self.confusion.device
        self.confusion.update(
            logits_NC.argmax(1).to(device, non_blocking=True),
            labels_N.to(device, non_blocking=True),
        )

    def compute(self) -> dict[str, float]:
        """Mean cross-entropy in nats and every metric of metrics.METRICS, the same on all ranks."""
        confusion_KK = self.confusion.compute().cpu().numpy()
        values = {name: float(v) for name, v in metrics.from_confusion(confusion_KK).items()}
        return {"loss": float(self.loss.compute()), **values}


def with_prior(
    logits_NC: torch.Tensor, prior_1C: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits with every row that is not finite replaced by `prior_1C`, and which rows are
    finite (N,)."""
    finite_N = logits_NC.isfinite().all(1)
    return torch.where(finite_N[:, None], logits_NC, prior_1C), finite_N


def mostly_not_finite(not_finite: float, of: float) -> bool:
    """Whether so many outputs are not finite that the model is broken, and not some inputs."""
    return 2 * not_finite > of


def gathered(
    scored: list[ScoredBatch], world_size: int, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (N,), labels (N,) and logits (N, C) of all ranks' batches, ordered by row."""
    empty = ScoredBatch(torch.zeros(0).long(), torch.zeros(0).long(), torch.zeros(0, classes))
    mine = tuple(torch.cat(part).numpy() for part in zip(empty, *scored, strict=True))
    parts: list[Any] = [mine]
    if world_size > 1 and torch.distributed.is_initialized():
        parts = [None] * world_size
        torch.distributed.all_gather_object(parts, mine)
    rows, labels, logits = (np.concatenate([part[field] for part in parts]) for field in range(3))
    order = np.argsort(rows)
    return rows[order], labels[order], logits[order]

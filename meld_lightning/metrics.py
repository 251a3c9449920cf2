"""Classification metrics, computed from confusion matrices with numpy alone.

Reads and writes no files. Used by the models (metrics of an epoch), by training and fusion (metrics
of a split), and by the report, which scores thousands of resamples at once: therefore
every function accepts any number of leading axes. The definitions are those of scikit-learn with
zero_division=0; the paper's "weighted accuracy" is plain accuracy.

Axes: N utterances, K classes, ... any leading axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meld_lightning.errors import UserError, near_miss

METRICS = (
    "accuracy",
    "weighted_f1",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "macro_precision",
    "macro_recall",
)

Floats = NDArray[np.float64]


def confusion(true: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count the pairs of true and predicted class.

    true, predicted: integers (N,) in [0, classes).
    Returns int64 (K, K); rows are the true class, columns the predicted one. Raises ValueError if
    the two differ in length or hold an index out of range.
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.ndim != 1 or true.shape != predicted.shape:
        raise ValueError(
            f"true classes {true.shape} and predicted ones {predicted.shape} must be two lists of"
            " the same length"
        )
    for name, index in (("truth", true), ("prediction", predicted)):
        if index.size and not (index.min() >= 0 and index.max() < classes):
            raise ValueError(
                f"{name} holds indices {index.min()}..{index.max()}, expected 0..{classes - 1}"
            )
    pairs = true.astype(np.int64) * classes + predicted.astype(np.int64)
    return (
        np.bincount(pairs, minlength=classes * classes).astype(np.int64).reshape(classes, classes)
    )


def from_confusion(confusion: ArrayLike) -> dict[str, Floats]:
    """All of METRICS for each confusion matrix.

    confusion: counts (..., K, K); rows are the true class.
    Returns an array of shape (...,) for each metric. "weighted" averages weigh a class by its true
    count; "macro" averages are over the classes that occur among the true or predicted ones, as in
    scikit-learn with labels=None. Raises ValueError for a matrix without any counts.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    hits, true, predicted = _margins(counts)
    total = true.sum(-1)
    if (total == 0).any():
        raise ValueError("no utterance to score: a confusion matrix has no counts")
    weight = true / total[..., None]
    f1, precision, recall = (
        _ratio(2 * hits, true + predicted),
        _ratio(hits, predicted),
        _ratio(hits, true),
    )
    present = ((true + predicted) > 0).sum(-1)
    return {
        "accuracy": hits.sum(-1) / total,
        "weighted_f1": (weight * f1).sum(-1),
        "macro_f1": f1.sum(-1) / present,
        "weighted_precision": (weight * precision).sum(-1),
        "weighted_recall": (weight * recall).sum(-1),
        "macro_precision": precision.sum(-1) / present,
        "macro_recall": recall.sum(-1) / present,
    }


def by_class(confusion: ArrayLike) -> dict[str, Floats]:
    """Precision, recall, F1 and support of each class (..., K), from counts (..., K, K).

    A class that is never predicted has precision 0; one that is never true has recall 0.
    """
    hits, true, predicted = _margins(np.asarray(confusion, dtype=np.float64))
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, true),
        "f1": _ratio(2 * hits, true + predicted),
        "support": true,
    }


def _margins(counts: Floats) -> tuple[Floats, Floats, Floats]:
    """(..., K, K) -> hits, true counts, predicted counts, each (..., K)."""
    return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)


def _ratio(above: Floats, below: Floats) -> Floats:
    """above / below, and 0 where below is 0 (scikit-learn's zero_division=0)."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def scores(labels: NDArray[np.int64], logits: NDArray[np.floating]) -> dict[str, float]:
    """Loss (mean cross-entropy in nats) and every metric of logits (N, K) against labels (N,)."""
    import torch  # not at the top: a report of finished runs does without

    matrix = confusion(labels, logits.argmax(1), logits.shape[1])
    loss = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits).double(), torch.from_numpy(labels)
    )
    values = {name: float(value) for name, value in from_confusion(matrix).items()}
    return {"loss": loss.item(), **values}


def check_monitor(monitor: str) -> None:
    """UserError unless it is a metric of val: nothing is ever chosen on train or test."""
    known = [f"val/{name}" for name in ("loss", *METRICS)]
    if monitor not in known:
        raise UserError(f"monitor={monitor}: expected a val/ metric{near_miss(monitor, known)}")

"""Calibration: how well confidence matches accuracy, as a number and as a reliability diagram.

Writes reliability.png and reliability.svg; used by fit.py. Axes: N utterances, C classes, B bins.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from meld_lightning.fusion.joined import Joined
from meld_lightning.fusion.likelihood_ratio import Single
from meld_lightning.fusion.method import Fusion
from meld_lightning.storage.atomic import atomic_write

BINS = 15  # as in Guo et al., On calibration of modern neural networks, ICML 2017
BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))  # torchmetrics gives 1 a bin of its own

Curves = dict[str, np.ndarray]  # title of a panel -> log-probabilities (N, C)


def calibration(
    val: Joined, test: Joined, fusion: Fusion, folder: Path
) -> dict[str, dict[str, float]]:
    """Calibration errors on test, and the reliability diagram in `folder`.

    Returns modality -> {"before": as the run left it, "after": with the temperature fitted on val},
    and "fused" -> {"after": of the fusion}. Without "after" where no utterance of val has the
    modality.
    """
    curves: Curves = {}
    errors: dict[str, dict[str, float]] = {}
    for number, name in enumerate(test.modalities):
        curve = curves[f"{name}, before"] = test.batch.log_probs_MNC[number]
        errors[name] = {"before": calibration_error(curve, test.labels_N)}
        # else the calibrated modality counts as missing, and its answer would be val's class shares
        if val.batch.present_MN[number].any():
            single = Single(name, name)
            single.fit(val, seed=0)
            curve = curves[f"{name}, after"] = single(test.batch)
            errors[name]["after"] = calibration_error(curve, test.labels_N)
    curves["fused"] = fusion(test.batch)
    errors["fused"] = {"after": calibration_error(curves["fused"], test.labels_N)}
    draw_reliability(curves, test.labels_N, folder / "reliability")
    return errors


def calibration_error(log_probs_NC: np.ndarray, labels_N: np.ndarray) -> float:
    """Expected calibration error: the mean distance of confidence and accuracy over bins of
    confidence, weighted by their utterances (Guo et al., equation 3)."""
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    error = multiclass_calibration_error(
        torch.from_numpy(_probabilities(log_probs_NC)),
        torch.from_numpy(labels_N),
        num_classes=log_probs_NC.shape[1],
        n_bins=BINS,
    )
    return float(error)


class Bins(NamedTuple):
    """Utterances, accuracy and mean confidence of each bin of confidence, (B,) each; accuracy and
    confidence are 0 where a bin is empty."""

    count_B: np.ndarray
    accuracy_B: np.ndarray
    confidence_B: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error, as `calibration_error` has torchmetrics compute it."""
        distance_B = np.abs(self.accuracy_B - self.confidence_B)
        return float((self.count_B * distance_B).sum() / self.count_B.sum())


def binned(log_probs_NC: np.ndarray, labels_N: np.ndarray) -> Bins:
    """The bins that torchmetrics uses: equally wide, the lower edge included."""
    edges = np.linspace(0, 1, BINS + 1, dtype=np.float32)
    confidence_N = _probabilities(log_probs_NC).max(1)
    bin_N = np.digitize(confidence_N, edges) - 1
    count_B = np.bincount(bin_N, minlength=BINS)
    right_B = np.bincount(bin_N, log_probs_NC.argmax(1) == labels_N, minlength=BINS)
    total_B = np.bincount(bin_N, confidence_N, minlength=BINS)
    filled_B = np.maximum(count_B, 1)
    return Bins(count_B, right_B / filled_B, total_B / filled_B)


def draw_reliability(curves: Mapping[str, np.ndarray], labels_N: np.ndarray, path: Path) -> None:
    """Draws a panel for each of `curves` on test into `path` with .png and .svg."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    centres = (np.arange(BINS) + 0.5) / BINS
    with mpl.rc_context({"svg.hashsalt": "reliability", "font.size": 8}):
        figure, grid = plt.subplots(
            1,
            len(curves),
            figsize=(2.1 * len(curves), 2.8),
            sharey=True,
            layout="constrained",
            squeeze=False,
        )
        for axis, (name, log_probs_NC) in zip(grid[0], curves.items(), strict=True):
            bins = binned(log_probs_NC, labels_N)
            share_B = bins.count_B / bins.count_B.sum()
            axis.bar(centres, bins.accuracy_B, 1 / BINS, color="#4477AA", edgecolor="white", lw=0.4)
            axis.bar(centres, share_B, 0.4 / BINS, color="#CCBB44")
            axis.plot([0, 1], [0, 1], color="#222222", linewidth=0.8, linestyle="--")
            error = calibration_error(log_probs_NC, labels_N)
            axis.set(
                title=f"{name}\nECE {error:.3f}", xlabel="confidence", xlim=(0, 1), ylim=(0, 1)
            )
        grid[0][0].set_ylabel("accuracy")
        figure.suptitle(
            "Calibration on test, before and after temperature scaling\n"
            "blue: accuracy; yellow: share of utterances; dashed: perfect calibration",
            fontsize=8,
        )
        for suffix in (".png", ".svg"):
            metadata = {"Date": None} if suffix == ".svg" else None
            with atomic_write(path.with_suffix(suffix)) as fresh:
                figure.savefig(fresh, format=suffix[1:], dpi=200, metadata=metadata)
        plt.close(figure)


def _probabilities(log_probs_NC: np.ndarray) -> np.ndarray:
    """float32 (N, C), as torchmetrics computes; certainty is put into the last bin."""
    return np.minimum(np.exp(log_probs_NC).astype(np.float32), BELOW_ONE)

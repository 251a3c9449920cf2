"""Whether probabilities mean what they say: expected calibration error and the reliability diagram.

Writes reliability.png and .svg; used by fusing. Axes: N utterances, C classes, B bins.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

BINS = 15  # as Guo et al., On calibration of modern neural networks, ICML 2017


def binned(
    log_probs_NC: np.ndarray, labels_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Utterances, mean confidence and accuracy of each equal-width bin of confidence, (B,) each;
    nan where empty."""
    confidence_N = np.exp(log_probs_NC).max(1)
    right_N = log_probs_NC.argmax(1) == labels_N
    bin_N = np.clip(np.ceil(confidence_N * BINS).astype(int) - 1, 0, BINS - 1)
    count_B = np.bincount(bin_N, minlength=BINS)
    with np.errstate(invalid="ignore"):
        mean_B = np.bincount(bin_N, confidence_N, BINS) / count_B
        right_B = np.bincount(bin_N, right_N, BINS) / count_B
    return count_B, mean_B, right_B


def expected_calibration_error(log_probs_NC: np.ndarray, labels_N: np.ndarray) -> float:
    """Mean distance of confidence and accuracy over the bins, weighted by their utterances (Guo et
    al., equation 3)."""
    count_B, mean_B, right_B = binned(log_probs_NC, labels_N)
    full_B = count_B > 0
    return float((count_B[full_B] * np.abs(mean_B - right_B)[full_B]).sum() / count_B.sum())


def draw_reliability(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str, path: Path
) -> None:
    """A panel for each of `curves` (name -> log-probabilities (N, C), labels (N,)): `path` with
    .png and .svg."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    with mpl.rc_context({"svg.hashsalt": "reliability", "font.size": 8}):
        figure, axes = plt.subplots(
            1, len(curves), figsize=(2.1 * len(curves), 2.5), sharey=True, layout="constrained"
        )
        for axis, (name, (log_probs_NC, labels_N)) in zip(
            np.atleast_1d(axes), curves.items(), strict=True
        ):
            count_B, _, right_B = binned(log_probs_NC, labels_N)
            centres = (np.arange(BINS) + 0.5) / BINS
            axis.bar(
                centres,
                np.nan_to_num(right_B),
                1 / BINS,
                color="#4477AA",
                edgecolor="white",
                linewidth=0.4,
            )
            axis.plot([0, 1], [0, 1], color="#222222", linewidth=0.8, linestyle="--")
            axis.bar(centres, count_B / count_B.sum() * 0.25, 0.5 / BINS, color="#CCBB44")
            error = expected_calibration_error(log_probs_NC, labels_N)
            axis.set(
                title=f"{name}\nECE {error:.3f}", xlabel="confidence", xlim=(0, 1), ylim=(0, 1)
            )
        np.atleast_1d(axes)[0].set_ylabel("accuracy")
        figure.suptitle(f"{title} (yellow: share of utterances, a quarter high)", fontsize=8)
        for suffix in (".png", ".svg"):
            metadata = {"Date": None} if suffix == ".svg" else None
            figure.savefig(path.with_suffix(suffix), dpi=200, metadata=metadata)
        plt.close(figure)

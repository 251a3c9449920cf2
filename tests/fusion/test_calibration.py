"""Calibration error and the bins of the reliability diagram."""

from pathlib import Path

import numpy as np
import pytest

from meld_lightning.fusion.calibration import BINS, binned, calibration, calibration_error
from meld_lightning.fusion.joined import Joined, normalised
from meld_lightning.fusion.likelihood_ratio import Single, temperature
from tests.fusion.conftest import drawn, joined


def by_hand(log_probs_NC: np.ndarray, labels_N: np.ndarray) -> float:
    """Guo et al., equation 3, bin by bin; upper edges included, as in their definition."""
    confidence_N = np.minimum(np.exp(log_probs_NC).max(1), 1)  # rounding may go beyond 1
    right_N = log_probs_NC.argmax(1) == labels_N
    error = 0.0
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        inside_N = (confidence_N > low) & (confidence_N <= high)
        if inside_N.any():
            gap = abs(right_N[inside_N].mean() - confidence_N[inside_N].mean())
            error += inside_N.mean() * gap
    return error


def test_calibration_error_is_that_of_its_definition() -> None:
    data, _ = drawn(400)
    for log_probs_NC in data.batch.log_probs_MNC[:2]:
        expected = by_hand(log_probs_NC, data.labels_N)
        assert expected > 0.02  # over- and underconfident, as they were made
        assert calibration_error(log_probs_NC, data.labels_N) == pytest.approx(expected, abs=1e-6)


def test_certain_predictions_share_the_last_bin() -> None:
    # Two of three are certain (1.0 in float32), one is .96; one is wrong.
    confidence_N = np.array([1.0, 1.0, 0.96])
    logits_NC = np.log(np.stack([confidence_N, 1 - confidence_N + 1e-12], 1))
    labels_N = np.array([0, 1, 0])
    expected = abs(2 / 3 - confidence_N.mean())
    assert calibration_error(logits_NC, labels_N) == pytest.approx(expected, abs=1e-6)
    assert binned(logits_NC, labels_N).count_B.tolist() == [0] * (BINS - 1) + [3]


def test_the_diagram_has_the_bins_of_the_error() -> None:
    data, _ = drawn(3000)
    log_probs_NC, labels_N = data.batch.log_probs_MNC[1], data.labels_N
    count_B, accuracy_B, _ = binned(log_probs_NC, labels_N)
    assert count_B.sum() == 3000
    confidence_N = np.exp(log_probs_NC).max(1)
    inside_N = (confidence_N > 6 / BINS) & (confidence_N < 7 / BINS)
    assert count_B[6] == inside_N.sum()
    right_N = log_probs_NC.argmax(1) == labels_N
    assert accuracy_B[6] == pytest.approx(right_N[inside_N].mean() if inside_N.any() else 0)


def test_temperatures_come_from_val_and_errors_from_test(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)

    def split(skill: float) -> tuple[np.ndarray, np.ndarray]:
        labels_N = rng.integers(0, 7, 400)
        predicted_N = np.where(rng.random(400) < skill, labels_N, rng.integers(0, 7, 400))
        return 3 * np.eye(7)[predicted_N] + rng.normal(size=(400, 7)), labels_N

    val, test = (joined(logits[None], labels) for logits, labels in (split(0.9), split(0.3)))
    fusion = Single("text recalibrated", "text")
    fusion.fit(val, seed=1)
    found = calibration(val, test, fusion, tmp_path)
    before_NC = test.batch.log_probs_MNC[0]
    of_val = temperature(val.batch.log_probs_MNC[0], val.labels_N)
    of_test = temperature(before_NC, test.labels_N)
    errors = [
        calibration_error(normalised(before_NC / one), test.labels_N)
        for one in (1, of_val, of_test)
    ]
    assert found["text"] == {
        "before": pytest.approx(errors[0], abs=1e-6),
        "after": pytest.approx(errors[1], abs=1e-6),
    }
    assert abs(errors[1] - errors[2]) > 0.1  # fitting on test would have shown
    assert found["fused"]["after"] == found["text"]["after"]
    assert {path.name for path in tmp_path.iterdir()} == {"reliability.png", "reliability.svg"}


def test_a_modality_that_val_lacks_is_not_calibrated(tmp_path: Path) -> None:
    """Its calibrated answer would be val's class shares, whatever the run says."""
    test, _ = drawn(40)
    present_MN = np.array([[True], [False], [True]]) & test.batch.present_MN
    val = Joined(**{**vars(test), "batch": test.batch._replace(present_MN=present_MN)})
    fusion = Single("text recalibrated", "text")
    fusion.fit(val, seed=1)
    found = calibration(val, test, fusion, tmp_path)
    assert {name: sorted(one) for name, one in found.items()} == {
        "text": ["after", "before"],
        "audio": ["before"],
        "video": ["after", "before"],
        "fused": ["after"],
    }


def test_the_error_of_the_bins_is_that_of_torchmetrics() -> None:
    data, _ = drawn(400)
    log_probs_NC = data.batch.log_probs_MNC[0]
    found = binned(log_probs_NC, data.labels_N)
    expected = calibration_error(log_probs_NC, data.labels_N)
    assert found.error == pytest.approx(expected, abs=1e-6)

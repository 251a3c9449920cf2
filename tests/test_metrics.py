"""The metrics equal scikit-learn's and torchmetrics', on ordinary and on degenerate labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics as sk
from torchmetrics.functional import classification as tm

from meld_lightning.metrics import METRICS, by_class, confusion, from_confusion

K = 7
Labels = NDArray[np.int64]


def _cases() -> dict[str, tuple[Labels, Labels]]:
    rng = np.random.default_rng(0)

    def draw(high: int, n: int, low: int = 0) -> Labels:
        return rng.integers(low, high, n)

    return {
        "random": (draw(K, 500), draw(K, 500)),
        "skewed": (rng.choice(K, 400, p=[0.7, 0.1, 0.1, 0.04, 0.03, 0.02, 0.01]), draw(K, 400)),
        "classes absent from both": (draw(3, 60), draw(3, 60)),
        "classes absent from truth": (draw(2, 60), draw(K, 60)),
        "classes absent from prediction": (draw(K, 60), draw(2, 60)),
        "truth and prediction disjoint": (draw(3, 60), draw(K, 60, 3)),
        "constant prediction": (draw(K, 200), np.zeros(200, dtype=np.int64)),
        "constant truth": (np.full(50, 4), draw(K, 50)),
        "perfect": (np.arange(K), np.arange(K)),
        "one row, right": (np.array([3]), np.array([3])),
        "one row, wrong": (np.array([3]), np.array([6])),
    }


def _sklearn(true: Labels, predicted: Labels) -> dict[str, float]:
    average = {"y_true": true, "y_pred": predicted, "zero_division": 0}
    return {
        "accuracy": sk.accuracy_score(true, predicted),
        "weighted_f1": sk.f1_score(average="weighted", **average),
        "macro_f1": sk.f1_score(average="macro", **average),
        "weighted_precision": sk.precision_score(average="weighted", **average),
        "weighted_recall": sk.recall_score(average="weighted", **average),
        "macro_precision": sk.precision_score(average="macro", **average),
        "macro_recall": sk.recall_score(average="macro", **average),
    }


@pytest.mark.parametrize("case", _cases())
def test_metrics_are_scikit_learns(case: str) -> None:
    true, predicted = _cases()[case]
    counts = confusion(true, predicted, K)
    np.testing.assert_array_equal(counts, sk.confusion_matrix(true, predicted, labels=range(K)))
    found = from_confusion(counts)
    assert tuple(found) == METRICS
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        _sklearn(true, predicted), abs=1e-12
    )
    expected = sk.precision_recall_fscore_support(true, predicted, labels=range(K), zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(by_class(counts)[name], values, atol=1e-12)


@pytest.mark.parametrize("case", _cases())
def test_metrics_are_torchmetrics(case: str) -> None:
    true, predicted = _cases()[case]
    found = from_confusion(confusion(true, predicted, K))
    inputs = torch.from_numpy(predicted), torch.from_numpy(true), K
    expected = {"accuracy": tm.multiclass_accuracy(*inputs, average="micro")}
    for average in ("weighted", "macro"):
        expected[f"{average}_f1"] = tm.multiclass_f1_score(*inputs, average=average)
        expected[f"{average}_precision"] = tm.multiclass_precision(*inputs, average=average)
        expected[f"{average}_recall"] = tm.multiclass_recall(*inputs, average=average)
    assert set(expected) == set(METRICS)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), abs=1e-6), name


def test_leading_axes_are_matrix_by_matrix() -> None:
    cases = list(_cases().values())[:6]
    stacked = np.stack([confusion(*case, K) for case in cases]).reshape(2, 3, K, K)
    found, f1 = from_confusion(stacked), by_class(stacked)["f1"]
    assert f1.shape == (2, 3, K)
    for place, case in enumerate(cases):
        alone = from_confusion(confusion(*case, K))
        for name in METRICS:
            assert found[name].shape == (2, 3)
            assert found[name].ravel()[place] == alone[name]


def test_counts_are_64_bit_integers_and_accept_narrow_labels() -> None:
    """uint8 indices must not overflow in true * K + predicted."""
    true = np.full(3, 99, dtype=np.uint8)
    counts = confusion(true, true, 100)
    assert counts.dtype == np.int64
    assert counts[99, 99] == 3


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="same length"):
        confusion([0, 1], [0], K)
    with pytest.raises(ValueError, match=r"prediction holds indices 0\.\.7"):
        confusion([0, 1], [0, 7], K)
    with pytest.raises(ValueError, match=r"truth holds indices -1\.\.1"):
        confusion([-1, 1], [0, 1], K)
    with pytest.raises(ValueError, match="no utterance"):
        from_confusion(np.zeros((2, K, K)))

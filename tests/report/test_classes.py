"""Scores of each class: scikit-learn's, with intervals from leaving each unit out."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from meld_lightning.report.classes import class_estimates
from meld_lightning.report.scored import Scored
from meld_lightning.report.statistics import Jackknife, estimate

LABELS = ("neutral", "joy", "fear")


def drawn(seed: int, n: int = 60) -> Scored:
    of_true, of_run = np.random.default_rng(0), np.random.default_rng(seed)
    true = of_true.integers(0, 3, n)
    predicted = np.where(of_run.random(n) < 0.6, true, of_run.integers(0, 3, n))
    keys = np.array([f"k{place:02}" for place in range(n)], dtype=object)
    units = np.array([f"u{place // 5}" for place in range(n)], dtype=object)
    return Scored(f"run {seed}", LABELS, keys, units, true, predicted, np.ones(n, dtype=bool))


@pytest.mark.slow
def test_each_class_has_its_mean_and_the_jackknife_interval() -> None:
    runs = [drawn(1), drawn(2)]
    found = class_estimates(runs)["f1"]
    units = sorted(set(runs[0].units))
    for label, shown in enumerate(found):
        values = np.array([f1_score(one.true, one.predicted, average=None)[label] for one in runs])
        pseudo = np.array(
            [[pseudovalue(one, unit, label, len(units)) for one in runs] for unit in units]
        )
        value, low, high = estimate(Jackknife(values, pseudo))
        assert (shown.value, shown.low, shown.high) == pytest.approx((value, low, high))


def pseudovalue(one: Scored, unit: str, label: int, units: int) -> float:
    kept = one.units != unit
    with_all = f1_score(one.true, one.predicted, average=None)[label]
    without = f1_score(one.true[kept], one.predicted[kept], average=None)[label]
    return units * float(with_all) - (units - 1) * float(without)

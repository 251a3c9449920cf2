"""Intervals and tests against scipy, statsmodels, scikit-learn and hand computation."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sk
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from meld_lightning.report import statistics as st
from meld_lightning.report.scored import Scored, scored, unit_confusions

Make = Callable[..., Any]


def _weighted_f1(true: Any, predicted: Any) -> float:
    return float(sk.f1_score(true, predicted, average="weighted", zero_division=0))


def _equal_units(make_run: Make, seeds: Sequence[int], units: int = 12) -> list[Scored]:
    """Runs on utterances that are divided into equal units, so that accuracy is the mean of the
    units' accuracies and textbook formulas hold exactly."""
    runs = [scored(make_run("equal", 0.6, seed), "test") for seed in seeds]
    n = len(runs[0].keys) // units * units
    labels = np.array([f"unit{place % units:02d}" for place in range(n)], dtype=object)
    return [
        replace(
            run, keys=run.keys[:n], true=run.true[:n], predicted=run.predicted[:n], units=labels
        )
        for run in runs
    ]


def _by_unit(run: Scored) -> np.ndarray[Any, Any]:
    """The accuracy of each unit (U,)."""
    return np.array(
        [np.mean((run.predicted == run.true)[run.units == unit]) for unit in sorted(set(run.units))]
    )


def test_the_jackknife_leaves_out_whole_units(make_run: Make) -> None:
    runs = [scored(make_run("a", 0.6, seed), "test") for seed in (1, 2)]
    found = st.jackknife(runs)["weighted_f1"]
    units = sorted(set(runs[0].units))
    for place, run in enumerate(runs):
        whole = _weighted_f1(run.true, run.predicted)
        assert found.values_S[place] == pytest.approx(whole)
        without = [
            _weighted_f1(run.true[run.units != unit], run.predicted[run.units != unit])
            for unit in units
        ]
        expected = len(units) * whole - (len(units) - 1) * np.array(without)
        np.testing.assert_allclose(found.pseudo_US[:, place], expected)


def test_with_one_seed_the_interval_is_scipys_t_over_units(make_run: Make) -> None:
    (run,) = _equal_units(make_run, [1])
    value, low, high = st.estimate(st.jackknife([run])["accuracy"])
    by_unit = _by_unit(run)
    expected = stats.t.interval(0.95, len(by_unit) - 1, by_unit.mean(), stats.sem(by_unit))
    assert (low, value, high) == pytest.approx((expected[0], by_unit.mean(), expected[1]))


def test_the_variance_of_seeds_is_that_of_an_analysis_of_variance(make_run: Make) -> None:
    """Accuracy over equal units is a balanced two-way layout, units by seeds, which statsmodels
    divides into its mean squares."""
    seeds = (1, 2, 3, 4)
    runs = _equal_units(make_run, seeds)
    runs[3] = replace(runs[3], predicted=np.where(runs[3].true > 2, 0, runs[3].predicted))
    table = pd.DataFrame(
        [
            {"y": value, "unit": unit, "seed": seed}
            for seed, run in zip(seeds, runs, strict=True)
            for unit, value in enumerate(_by_unit(run))
        ]
    )
    squares = anova_lm(ols("y ~ C(unit) + C(seed)", table).fit())["mean_sq"]
    cells = len(table)
    found = st.spread(st.jackknife(runs)["accuracy"])
    assert found.units.variance == pytest.approx(squares["C(unit)"] / cells)
    assert found.units.df == 11
    (seed_part,) = found.seeds
    assert squares["C(seed)"] > 2 * squares["Residual"]
    assert seed_part.variance == pytest.approx((squares["C(seed)"] - squares["Residual"]) / cells)
    assert seed_part.df == 3


def test_seeds_that_agree_add_no_variance(make_run: Make) -> None:
    (run,) = _equal_units(make_run, [1])
    one = st.estimate(st.jackknife([run])["weighted_f1"])
    assert st.estimate(st.jackknife([run] * 3)["weighted_f1"]) == pytest.approx(one)


def test_the_half_width_lies_between_satterthwaite_and_banerjee() -> None:
    spread = st.Spread(st.Part(0.0004, 279), (st.Part(0.0003, 2), st.Part(0.0001, 2)))
    seeds_df = 0.0004**2 / (0.0003**2 / 2 + 0.0001**2 / 2)
    all_df = 0.0008**2 / (0.0004**2 / 279 + 0.0003**2 / 2 + 0.0001**2 / 2)
    satterthwaite = stats.t.ppf(0.975, all_df) * np.sqrt(0.0008)
    banerjee = np.sqrt(
        0.0004 * stats.t.ppf(0.975, 279) ** 2 + 0.0004 * stats.t.ppf(0.975, seeds_df) ** 2
    )
    assert satterthwaite < 0.9 * banerjee
    assert spread.half_width(0.95) == pytest.approx((satterthwaite + banerjee) / 2)


def test_without_seeds_p_is_scipys_and_it_inverts_the_interval() -> None:
    units = st.Spread(st.Part(0.0004, 19))
    assert units.p(0.05) == pytest.approx(2 * stats.t.sf(0.05 / 0.02, 19))
    both = st.Spread(st.Part(0.0004, 19), (st.Part(0.0002, 2),))
    p = both.p(-0.05)
    assert both.half_width(1 - p) == pytest.approx(0.05)
    assert p > units.p(0.05)


def test_differences_without_variance() -> None:
    nothing = st.Spread(st.Part(0.0, 11), (st.Part(0.0, 2),))
    assert nothing.half_width(0.95) == 0
    assert nothing.p(0.0) == 1
    assert nothing.p(0.1) == 2 / 2**12  # as if units were swapped


def test_the_constant_row_has_an_interval_and_a_single_unit_has_none(make_run: Make) -> None:
    run = scored(make_run("a"), "test").constant("neutral")
    value, low, high = st.estimate(st.jackknife([run])["weighted_f1"])
    assert 0 <= low < value < high <= 1
    single = st.jackknife_counts(np.stack([unit_confusions(run).sum(0)])[:, None])
    value, low, high = st.estimate(single["accuracy"])
    assert value == pytest.approx(run.metrics()["accuracy"])
    assert np.isnan([low, high]).all()


def test_swapping_units_is_scipys_permutation_test(make_run: Make) -> None:
    one, _, other = _equal_units(make_run, [1, 2, 3], units=10)
    found = st.permutation(unit_confusions(one), unit_confusions(other), ["accuracy"])
    expected = stats.permutation_test(
        (_by_unit(one), _by_unit(other)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
    ).pvalue
    assert 0.01 < expected < 0.9
    assert found["accuracy"] == pytest.approx(expected)


@pytest.mark.slow
def test_swapping_units_counts_every_way_by_scikit_learns_f1(make_run: Make) -> None:
    one, other = _equal_units(make_run, [1, 2], units=6)
    other = replace(other, predicted=np.where(other.true == 1, 0, other.predicted))
    units = sorted(set(one.units))
    differences = []
    for ways in itertools.product((False, True), repeat=6):
        swap = np.array([ways[units.index(unit)] for unit in one.units])
        first = np.where(swap, other.predicted, one.predicted)
        second = np.where(swap, one.predicted, other.predicted)
        differences.append(_weighted_f1(one.true, first) - _weighted_f1(one.true, second))
    expected = np.mean(np.abs(differences) >= abs(differences[0]) - 1e-12)
    found = st.permutation(unit_confusions(one), unit_confusions(other), ["weighted_f1"])
    assert found["weighted_f1"] == pytest.approx(expected)
    assert expected < 0.9


def test_random_swaps_agree_with_all_of_them(make_run: Make) -> None:
    one, other = (unit_confusions(run) for run in _equal_units(make_run, [1, 3]))
    exact = st.permutation(one, other, ["accuracy", "weighted_f1"])  # 4096 ways
    drawn = st.permutation(one, other, ["accuracy", "weighted_f1"], resamples=4000)
    for name, p in exact.items():
        assert drawn[name] == pytest.approx(p, abs=0.03)
        assert drawn[name] != p

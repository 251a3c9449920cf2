"""Rows tested against a reference row: which test, for how many units, and how it is adjusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from meld_lightning.report import comparisons as cm
from meld_lightning.report import statistics as st
from meld_lightning.report.scored import Scored, scored, unit_confusions

Make = Callable[..., Any]


def _coarser(run: Scored, units: int) -> Scored:
    """The run with its utterances in so many units."""
    places = np.arange(len(run.keys)) % units
    return replace(run, units=np.array([f"unit{place:02d}" for place in places], dtype=object))


def test_holm_by_hand_and_by_statsmodels() -> None:
    # sorted .01 .02 .03 .04 -> x4 .04, x3 .06, x2 .06, x1 .04 raised to the maximum so far, .06
    assert cm.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert cm.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert cm.holm([]) == []
    p_values = np.random.default_rng(1).random(30).round(2) / 10  # some are equal
    assert cm.holm(p_values.tolist()) == multipletests(p_values, method="holm")[1].tolist()


@pytest.mark.slow
def test_recipes_whose_seeds_differ_are_not_told_apart_by_the_units_alone(make_run: Make) -> None:
    """The same two rows: with their seeds taken as fixed the difference would be significant."""
    rows = [
        [
            scored(make_run(f"{name}{seed}", skill, seed), "test")
            for seed, skill in enumerate(skills)
        ]
        for name, skills in {"a": (0.72, 0.70, 0.42), "b": (0.5, 0.48, 0.51)}.items()
    ]
    (found,) = cm.comparisons(rows[:1], rows[1])
    one = found["weighted_f1"]
    ours, theirs = (st.jackknife(row)["weighted_f1"] for row in rows)
    both = st.spread(ours, theirs)
    assert len(both.seeds) == 2
    assert st.Spread(both.units).p(one.value) < 0.001
    assert one.p is not None
    assert one.p > 0.05
    assert one.low < 0 < one.high
    assert one.high - one.value == pytest.approx(both.half_width(0.95))


def test_one_seed_is_tested_by_swapping_units(make_run: Make) -> None:
    one, other = (scored(make_run(name, skill), "test") for name, skill in (("a", 0.5), ("b", 0.4)))
    (found,) = cm.comparisons([[one]], [other])
    swapped = st.permutation(unit_confusions(one), unit_confusions(other), cm.TESTED)
    assert {name: found[name].p for name in cm.TESTED} == swapped
    assert all(0.0002 < p < 0.9 for p in swapped.values())
    (turned,) = cm.comparisons([[other]], [one])
    assert turned["accuracy"].value == -found["accuracy"].value
    assert turned["accuracy"].low == pytest.approx(-found["accuracy"].high)


def test_all_tests_of_a_table_are_adjusted_together(make_run: Make) -> None:
    reference = scored(make_run("r", 0.5), "test")
    rows = [[scored(make_run(name, skill), "test")] for name, skill in (("a", 0.45), ("b", 0.4))]
    found = cm.comparisons(rows, [reference])
    flat = [one[name] for one in found for name in cm.TESTED]
    p_values = [one.p for one in flat if one.p is not None]
    assert [one.p_holm for one in flat] == cm.holm(p_values)
    both = st.spread(st.jackknife(rows[0])["accuracy"], st.jackknife([reference])["accuracy"])
    one = found[0]["accuracy"]
    assert one.high_simultaneous - one.value == pytest.approx(both.half_width(1 - 0.05 / 4))
    assert one.low_simultaneous < one.low


def test_a_p_at_the_floor_of_the_resamples_is_marked(make_run: Make) -> None:
    run = scored(make_run("a"), "test")
    perfect, worst = replace(run, predicted=run.true), run.constant("fear")
    first, _ = cm.comparisons([[perfect], [run]], [worst])
    assert first["accuracy"].p == 1 / (st.RESAMPLES + 1)
    assert first["accuracy"].at_floor
    assert first["accuracy"].holm_at_floor
    few = [_coarser(one, 8) for one in (perfect, worst)]
    (exact,) = cm.comparisons([few[:1]], few[1:])
    assert exact["accuracy"].p == 2 / 2**8
    assert not exact["accuracy"].at_floor


def test_identical_rows_do_not_differ(make_run: Make) -> None:
    for seeds in ([1], [1, 2, 3]):
        same = [scored(make_run(f"same{len(seeds)}", seed=seed), "test") for seed in seeds]
        (found,) = cm.comparisons([same], same, paired=True)
        one = found["weighted_f1"]
        assert (one.value, one.low, one.high, one.p, one.p_holm) == (0, 0, 0, 1, 1)


def test_rows_that_share_runs_are_compared_seed_by_seed(make_run: Make) -> None:
    """What both rows owe to the seed cancels; with independent seeds it would count twice."""
    skills = (0.3, 0.5, 0.7)
    row = [scored(make_run(f"a{n}", skill, n), "test") for n, skill in enumerate(skills)]
    better = [replace(run, predicted=np.where(run.true == 2, 2, run.predicted)) for run in row]
    (paired,) = cm.comparisons([better], row, paired=True)
    (independent,) = cm.comparisons([better], row)
    one, other = paired["accuracy"], independent["accuracy"]
    assert one.value == other.value > 0
    assert other.high - other.low > 3 * (one.high - one.low)
    assert one.low > 0 > other.low


@pytest.mark.parametrize("units", [1, 2, 5, 6])
def test_under_six_units_there_is_no_p(units: int, make_run: Make) -> None:
    one, other = (
        _coarser(scored(make_run(name, skill), "test"), units)
        for name, skill in (("a", 0.6), ("b", 0.4))
    )
    for row, reference in (([one], [other]), ([one, other], [other, other])):
        (found,) = cm.comparisons([row], reference)
        assert (found["accuracy"].p is None) == (units < 6)
        assert (found["accuracy"].p_holm is None) == (units < 6)
        assert np.isnan(found["accuracy"].low) == (units == 1)

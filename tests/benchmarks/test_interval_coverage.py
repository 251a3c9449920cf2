"""Intervals and tests hold their promises in simulated results, and the bootstrap with fixed seeds
does not: a short version of the benchmark."""

import json
import sys

import pytest

from benchmarks import interval_coverage as benchmark
from benchmarks.interval_coverage_draws import Cell, recipes
from meld_lightning.report.comparisons import TESTED

TYPE_1, COVERAGE = benchmark.GOALS["type_1"], benchmark.GOALS["coverage"]


def within(value: float | None, goal: tuple[float, float], slack: float = 0.02) -> bool:
    """slack: two standard errors of 400 replicates."""
    assert value is not None
    return goal[0] - slack <= value <= goal[1] + slack


@pytest.mark.slow
def test_recipes_with_several_seeds_are_told_apart_as_often_as_promised() -> None:
    found = benchmark.simulate(Cell(20, 3, 0.03), 400, 150, ["ours", "percentile"])
    for metric in TESTED:
        ours, before = found["ours"][metric], found["percentile"][metric]
        assert within(ours.type_1, TYPE_1)
        assert within(ours.coverage, COVERAGE)
        assert within(ours.coverage_of_difference, COVERAGE)
        assert ours.simultaneous > 0.98
        assert ours.power is not None
        assert ours.power > 0.3
        assert not within(before.type_1, TYPE_1)
        assert not within(before.coverage_of_difference, COVERAGE)


@pytest.mark.slow
def test_one_seed_and_few_units_keep_their_coverage() -> None:
    found = benchmark.simulate(Cell(12, 1, 0.0), 400, 200, ["ours", "percentile"])
    for metric in TESTED:
        assert within(found["ours"][metric].type_1, TYPE_1)
        assert within(found["ours"][metric].coverage, COVERAGE)
    assert not within(found["percentile"]["weighted_f1"].coverage, COVERAGE)


def test_under_six_units_no_type_1_is_counted() -> None:
    found = benchmark.simulate(Cell(5, 1, 0.0), 10, 0, ["ours"])
    assert found["ours"]["accuracy"].type_1 is None


def test_the_recipes_have_the_difference_and_the_seed_sd_that_they_are_named_for() -> None:
    first, second = recipes(Cell(72, 3, 0.02, unequal=True), 0.05)
    gap = first.truth()["weighted_f1"] - second.truth()["weighted_f1"]
    assert gap == pytest.approx(0.05, abs=1e-6)
    assert first.seed_sd() == pytest.approx(0.02, abs=1e-6)
    assert second.seed_sd() == 0


def test_the_benchmark_ends_with_one_json_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = "--units 12 --seeds 1 3 --seed-sds 0.02 --replicates 3 --bootstrapped 2"
    monkeypatch.setattr(sys, "argv", ["interval_coverage.py", *short.split()])
    assert benchmark.main() == 0
    *lines, last = capsys.readouterr().out.splitlines()
    cells = json.loads(last)["cells"]
    assert len(cells) == sum(line.startswith("| 12 |") for line in lines) == 4 + 5 + 5
    assert {one["way"] for one in cells} == set(benchmark.WAYS)

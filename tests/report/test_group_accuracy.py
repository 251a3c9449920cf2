"""Accuracy in groups of utterances."""

from collections.abc import Sequence

import pytest

from meld_lightning.report.group_accuracy import group_accuracies
from meld_lightning.report.groupings import Grouping
from meld_lightning.report.scored import Scored
from meld_lightning.report.statistics import estimate, jackknife
from tests.report.test_classes import drawn


def grouped(run: Scored, names: Sequence[str], groups: tuple[str, ...]) -> Grouping:
    """names: of each utterance's group, "" for none."""
    group_of = {str(key): name for key, name in zip(run.keys, names, strict=True) if name in groups}
    return Grouping("own", "By own groups", groups, group_of)


def test_a_group_of_all_utterances_has_the_accuracy_of_the_row_and_its_interval() -> None:
    runs = [drawn(1), drawn(2)]
    (found,) = group_accuracies(runs, grouped(runs[0], ["all"] * 60, ("all",)), "joy")
    expected = estimate(jackknife(runs)["accuracy"])
    shown = found.accuracy
    assert (shown.value, shown.low, shown.high) == pytest.approx(expected)
    assert found.n == 60
    assert found.constant == pytest.approx((runs[0].true == 1).mean())


def test_groups_stand_in_their_order_and_empty_ones_nowhere() -> None:
    run = drawn(1)
    names = ["b"] * 10 + ["c"] * 20 + ["a"] * 25 + [""] * 5
    found = group_accuracies([run], grouped(run, names, ("c", "none", "a", "b")), "joy")
    assert [(one.name, one.n) for one in found] == [("c", 20), ("a", 25), ("b", 10)]


def test_a_group_of_one_unit_has_no_interval() -> None:
    run = drawn(1)
    names = ["one"] * 5 + [""] * 55
    (found,) = group_accuracies([run], grouped(run, names, ("one",)), "joy")
    assert found.accuracy.low is None

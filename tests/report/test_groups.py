"""Accuracy in groups of utterances."""

import numpy as np
import pytest

from meld_lightning.report.groups import (
    FIRST,
    OTHER,
    SAME,
    by_agreement,
    by_length,
    by_place,
    by_presence,
    by_shift,
    by_speaker,
    group_estimates,
)
from meld_lightning.report.statistics import estimate, jackknife
from tests.report.test_classes import drawn


def test_a_group_of_all_utterances_has_the_accuracy_of_the_row_and_its_interval() -> None:
    runs = [drawn(1), drawn(2)]
    everything = np.array(["all"] * 60, dtype=object)
    (found,) = group_estimates(runs, everything, "joy")
    expected = estimate(jackknife(runs)["accuracy"])
    shown = found.accuracy
    assert (shown.value, shown.low, shown.high) == pytest.approx(expected)
    assert found.n == 60
    assert found.constant == pytest.approx((runs[0].true == 1).mean())


def test_groups_stand_in_their_order_and_the_others_by_size() -> None:
    names = np.array(["b"] * 10 + ["c"] * 20 + ["a"] * 25 + [None] * 5, dtype=object)
    found = group_estimates([drawn(1)], names, "joy", order=("c",))
    assert [(one.name, one.n) for one in found] == [("c", 20), ("a", 25), ("b", 10)]


def test_a_group_of_one_unit_has_no_interval() -> None:
    names = np.array(["one"] * 5 + [None] * 55, dtype=object)
    (found,) = group_estimates([drawn(1)], names, "joy")
    assert found.accuracy.low is None


def test_a_shift_is_from_the_turn_before_in_the_same_dialogue() -> None:
    names = by_shift([1, 2, 3, 1, 3], ["joy", "joy", "fear", "fear", "fear"], [0, 0, 0, 1, 1])
    assert list(names) == [FIRST, SAME, OTHER, FIRST, None]


def test_utterances_are_grouped_by_place_length_speaker_agreement_and_modalities() -> None:
    assert list(by_place([1, 3, 16, None])) == ["1", "2–3", "16 or more", None]
    assert list(by_length(["Oh!", "a b c d", " ", None])) == ["1–3", "4–7", None, None]
    many = [f"speaker {place}" for place in range(12) for _ in range(2)]
    assert list(by_speaker([*many, "Gunther", None]))[-2:] == ["others", None]
    votes = np.array([[5, 0, 0], [3, 2, 0], [2, 2, 1], [np.nan] * 3])
    assert list(by_agreement(votes)) == ["5 of 5 readers", "3 of 5 readers", "tie", None]
    present = {"text": np.array([True, True, False]), "audio": np.array([True, False, False])}
    assert list(by_presence(present)) == ["text + audio", "text", "none"]

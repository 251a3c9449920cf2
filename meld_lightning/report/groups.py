"""Accuracy in groups of utterances: by place in the dialogue, shift of emotion, length, speaker and
missing modality.

Computes from what report/scored.py reads and from the corpus table; reads and writes no files. Used
by the page and by report/plots.py. Accuracy and not weighted F1, because groups differ in their
labels; the share of the most common train label, which a constant prediction would reach, stands
beside it.

Axes: N utterances, S seeds, U units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meld_lightning.report.classes import estimated
from meld_lightning.report.rows import Estimate
from meld_lightning.report.scored import Scored, check_joined
from meld_lightning.report.statistics import Jackknife

Names = NDArray[np.object_]  # (N,): each utterance's group, None for those in none

PLACES = ((1, 1), (2, 3), (4, 7), (8, 15), (16, None))  # in a dialogue, from 1
LENGTHS = ((1, 3), (4, 7), (8, 15), (16, None))  # in words
MOST_SPEAKERS, OTHERS = 12, "others"
AGREEMENT = ("tie", "3 of 5 readers", "4 of 5 readers", "5 of 5 readers")
FIRST, SAME, OTHER = "first turn", "same as before", "other than before"


@dataclass(frozen=True)
class Group:
    """A row's accuracy on the utterances of one group.

    constant: the share of the label that the constant baseline predicts.
    """

    name: str
    n: int
    accuracy: Estimate
    constant: float


def group_estimates(
    runs: Sequence[Scored], names_N: Names, majority: str, order: Sequence[str] = ()
) -> list[Group]:
    """The accuracy of a row's runs (one per seed) in each group that has utterances.

    names_N: in the order of the runs' keys. majority: the most common label of train. order: the
        groups in the order of the result; those not in it come last, the largest first.
    """
    check_joined(runs)
    right_NS = np.stack([run.predicted == run.true for run in runs], axis=1)
    constant_N = runs[0].true == runs[0].labels.index(majority)
    sizes = {name: int((names_N == name).sum()) for name in set(names_N) - {None}}
    places = {name: place for place, name in enumerate(order)}
    ranked = sorted(
        sizes,
        key=lambda name: (name == OTHERS, places.get(name, len(places)), -sizes[name], name),
    )
    return [
        Group(
            str(name),
            sizes[name],
            _accuracy(right_NS[names_N == name], runs[0].units[names_N == name]),
            float(constant_N[names_N == name].mean()),
        )
        for name in ranked
    ]


def _accuracy(right_NS: NDArray[np.bool_], units_N: NDArray[np.object_]) -> Estimate:
    """The share of right predictions, with each unit of the group left out once."""
    names, index_N = np.unique(units_N.astype(str), return_inverse=True)
    units, seeds = len(names), right_NS.shape[1]
    right_US = np.zeros((units, seeds))
    np.add.at(right_US, index_N, right_NS)
    n_U = np.bincount(index_N, minlength=units)[:, None]
    values_S = right_US.sum(0) / n_U.sum()
    if units < 2:
        return estimated(Jackknife(values_S, np.empty((0, seeds))))
    without_US = (right_US.sum(0) - right_US) / (n_U.sum() - n_U)
    return estimated(Jackknife(values_S, units * values_S - (units - 1) * without_US))


def by_place(place_N: Sequence[int | None]) -> Names:
    """Groups of places in the dialogue, counted from 1."""
    return _ranges(place_N, PLACES)


def by_length(texts: Sequence[str | None]) -> Names:
    """Groups of numbers of words; an utterance without text is in none."""
    return _ranges([len(text.split()) or None if text else None for text in texts], LENGTHS)


def by_shift(
    place_N: Sequence[int | None], labels_N: Sequence[str], dialogues: Sequence[Any]
) -> Names:
    """Whether an utterance's label is that of the turn before it in its dialogue."""
    labels = {
        (dialogue, place): label
        for dialogue, place, label in zip(dialogues, place_N, labels_N, strict=True)
    }
    names: list[str | None] = []
    for dialogue, place, label in zip(dialogues, place_N, labels_N, strict=True):
        before = labels.get((dialogue, place - 1)) if place else None
        if place == 1:
            names.append(FIRST)
        else:
            names.append(None if before is None else SAME if before == label else OTHER)
    return np.array(names, dtype=object)


def by_speaker(speakers: Sequence[str | None]) -> Names:
    """The MOST_SPEAKERS speakers with the most utterances; the others together."""
    known = [speaker for speaker in speakers if speaker]
    ranked = sorted(set(known), key=lambda name: (-known.count(name), name))[:MOST_SPEAKERS]
    named = [name if name in ranked else OTHERS if name else None for name in speakers]
    return np.array(named, dtype=object)


def by_agreement(votes_NC: NDArray[np.float64]) -> Names:
    """How many of five readers chose the emotion that most of them chose; a tie where no three did.
    votes_NC: votes for each emotion, nan or zeros for an utterance without any."""
    most_N = np.nan_to_num(votes_NC).max(1)
    named = [None if not one else AGREEMENT[max(0, int(one) - 2)] for one in most_N]
    return np.array(named, dtype=object)


def by_presence(present: Mapping[str, NDArray[np.bool_]]) -> Names:
    """Which of the modalities each utterance has. present: modality -> (N,)."""
    names = [
        " + ".join(name for name, has in zip(present, flags, strict=True) if has) or "none"
        for flags in zip(*present.values(), strict=True)
    ]
    return np.array(names, dtype=object)


def range_names(ranges: Sequence[tuple[int, int | None]]) -> list[str]:
    """1, 2-3, 16 or more."""
    return [
        f"{low} or more" if high is None else str(low) if low == high else f"{low}–{high}"
        for low, high in ranges
    ]


def _ranges(values: Sequence[int | None], ranges: Sequence[tuple[int, int | None]]) -> Names:
    names = range_names(ranges)
    found: list[str | None] = []
    for value in values:
        fitting = [
            name
            for name, (low, high) in zip(names, ranges, strict=True)
            if value is not None and low <= value and (high is None or value <= high)
        ]
        found.append(fitting[0] if fitting else None)
    return np.array(found, dtype=object)

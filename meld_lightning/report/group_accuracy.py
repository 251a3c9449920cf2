"""Accuracy in the groups of a grouping, with intervals, for many rows at once.

Computes from what report/scored.py reads; reads and writes no files. Used by the page. Accuracy and
not weighted F1, because groups differ in their labels; the share of the most common train label,
which a constant prediction would reach, stands beside it. report/audit.py tests groups against each
other, in any metric, which takes much longer.

Axes: N utterances, S seeds, U units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meld_lightning.report.classes import estimated
from meld_lightning.report.groupings import Grouping
from meld_lightning.report.rows import Estimate
from meld_lightning.report.scored import Scored, check_joined
from meld_lightning.report.statistics import Jackknife


@dataclass(frozen=True)
class GroupAccuracy:
    """A row's accuracy on the utterances of one group.

    constant: the share of the label that the constant baseline predicts.
    """

    name: str
    n: int
    accuracy: Estimate
    constant: float


def group_accuracies(
    runs: Sequence[Scored], grouping: Grouping, majority: str
) -> list[GroupAccuracy]:
    """The accuracy of a row's runs (one per seed) in each group that has utterances, in the
    grouping's order. majority: the most common label of train."""
    check_joined(runs)
    right_NS = np.stack([run.predicted == run.true for run in runs], axis=1)
    constant_N = runs[0].true == runs[0].labels.index(majority)
    group_N = np.array([grouping.group_of.get(str(key), "") for key in runs[0].keys], dtype=object)
    chosen = {name: group_N == name for name in grouping.groups}
    return [
        GroupAccuracy(
            name,
            int(chosen_N.sum()),
            _accuracy(right_NS[chosen_N], runs[0].units[chosen_N]),
            float(constant_N[chosen_N].mean()),
        )
        for name, chosen_N in chosen.items()
        if chosen_N.any()
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

"""Audits: a model's score in groups of utterances, each group tested against the others.

Computes from runs and groupings with report/statistics.py; reads and writes no files. `table_audit`
gives the figures that Markdown, LaTeX, CSV, the page and the model card show.

A group's score and that of the others come from the same units (dialogues, speakers) or from
different ones, often from some of each. One jackknife covers all cases: a unit is left out of both
scores at once, and units with utterances in the group, in the others, and in both are three strata.
Where all units are in both, this is the paired t test over units; where none is, it is Welch's.

Axes: N utterances, U units, S seeds, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from meld_lightning.metrics import from_confusion
from meld_lightning.report.comparisons import TEST_UNITS, holm
from meld_lightning.report.groupings import Grouping
from meld_lightning.report.scored import Scored, check_joined, chosen_rows
from meld_lightning.report.statistics import (
    LEVEL,
    Counts,
    estimate,
    jackknife,
    jackknife_counts,
    paired_seeds,
    spread_by_stratum,
)

DIGITS = 6


@dataclass(frozen=True)
class Group:
    """One group of utterances and a model's score there, the mean over seeds.

    units: dialogues, speakers or utterances in it that are resampled.
    low, high: the 95 % interval; None with one unit.
    constant: the score of always predicting the most common label of train.
    difference: the score minus that of all other groups together; None for the first of two
        groups, whose difference is that of the second with the other sign.
    difference_low, difference_high, p: see Gap.
    p_holm: adjusted over all tests of the audit.
    """

    name: str
    n: int
    units: int
    value: float
    low: float | None
    high: float | None
    constant: float
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True)
class Gap:
    """A difference between two sets of utterances with its 95 % interval and two-sided p; None
    where one of them has fewer than TEST_UNITS units."""

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Audited:
    """A model's scores in the groups of one grouping.

    model: what the audit calls it, such as its modality.
    ungrouped: utterances whose group is not known.
    """

    model: str
    grouping: str
    title: str
    ungrouped: int
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Audit:
    """All models and groupings of one audit.

    metric: <split>/<name>.
    runs: hashes of the runs that were scored.
    single: the titles of groupings that have fewer than two groups here.
    declared: what the table declares besides, as JSON-able data; see study_audit.py.
    """

    metric: str
    runs: tuple[str, ...]
    audited: tuple[Audited, ...]
    single: tuple[str, ...] = ()
    declared: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A model to audit: its predictions, one per seed, the label that the baseline predicts, and
    its utterances' groupings."""

    name: str
    scored: Sequence[Scored]
    majority: str
    groupings: Sequence[Grouping]
    runs: tuple[str, ...] = ()


def audit(models: Sequence[Model], metric: str) -> Audit:
    """Every model's score in every group. Holm's adjustment is over all tests of the audit."""
    name = metric.split("/")[1]
    audited, single = [], []
    for model in models:
        check_joined(model.scored)
        for grouping in model.groupings:
            found = _audited(model, grouping, name)
            if len(found.groups) > 1:
                audited.append(found)
            else:
                single.append(found.title)
    runs = tuple(one for model in models for one in model.runs)
    rounded = tuple(_rounded(one) for one in _with_holm(audited))
    return Audit(metric, runs, rounded, tuple(dict.fromkeys(single)))


def _audited(model: Model, grouping: Grouping, metric: str) -> Audited:
    keys_N = model.scored[0].keys
    group_N = np.array([grouping.group_of.get(str(key), "") for key in keys_N], dtype=object)
    present = [name for name in grouping.groups if (group_N == name).any()]
    groups = []
    for place, name in enumerate(present):
        tested = place > 0 if len(present) == 2 else len(present) > 2
        group = _score(model, name, group_N == name, metric)
        groups.append(_tested(model, group, group_N, metric) if tested else group)
    ungrouped = int((group_N == "").sum())
    return Audited(model.name, grouping.name, grouping.title, ungrouped, tuple(groups))


def _score(model: Model, name: str, chosen_N: np.ndarray, metric: str) -> Group:
    rows = [chosen_rows(one, chosen_N) for one in model.scored]
    value, low, high = estimate(jackknife(rows)[metric])
    units = len(set(rows[0].units))
    constant = rows[0].constant(model.majority).metrics()[metric]
    group = Group(name, int(chosen_N.sum()), units, value, low, high, constant)
    return group if units > 1 else replace(group, low=None, high=None)


def _tested(model: Model, group: Group, group_N: np.ndarray, metric: str) -> Group:
    """The group with its difference from all other groups."""
    inside_N, grouped_N = group_N == group.name, group_N != ""
    inside, outside = (
        _counts(model.scored, chosen_N, grouped_N) for chosen_N in (inside_N, grouped_N & ~inside_N)
    )
    found = gap(inside, outside, metric)
    return replace(
        group,
        difference=found.value,
        difference_low=found.low,
        difference_high=found.high,
        p=found.p,
    )


def gap(inside_USKK: Counts, outside_USKK: Counts, metric: str) -> Gap:
    """A metric in one set of utterances minus that in another, from the confusion counts of each
    unit and seed in both."""
    inside_U, outside_U = (one.sum((1, 2, 3)) > 0 for one in (inside_USKK, outside_USKK))
    if min(inside_U.sum(), outside_U.sum()) < TEST_UNITS:
        ours, theirs = (from_confusion(one.sum(0))[metric] for one in (inside_USKK, outside_USKK))
        return Gap(float(ours.mean() - theirs.mean()))
    sides = (jackknife_counts(one)[metric] for one in (inside_USKK, outside_USKK))
    both = paired_seeds(*sides)
    variance = spread_by_stratum(both, inside_U + 2 * outside_U)
    value, half = float(both.values_S.mean()), variance.half_width(LEVEL)
    low, high = max(-1.0, value - half), min(1.0, value + half)
    return Gap(value, low, high, variance.p(value))


def _counts(scored: Sequence[Scored], chosen_N: np.ndarray, grouped_N: np.ndarray) -> Counts:
    """Confusion counts (U, S, K, K) of the chosen rows, over the units of all grouped rows."""
    units_N = scored[0].units[grouped_N].astype(str)
    units, place_N = np.unique(units_N, return_inverse=True)
    labels = len(scored[0].labels)
    counts = np.zeros((len(units), len(scored), labels, labels), dtype=np.int64)
    kept_N = chosen_N[grouped_N]
    for seed, one in enumerate(scored):
        true_N, predicted_N = one.true[grouped_N][kept_N], one.predicted[grouped_N][kept_N]
        np.add.at(counts, (place_N[kept_N], seed, true_N, predicted_N), 1)
    return counts


def _rounded(audited: Audited) -> Audited:
    """With the digits that are kept as evidence, so that both print the same."""

    def short(group: Group) -> Group:
        figures: dict[str, Any] = {
            name: round(one, DIGITS) if isinstance(one, float) else one
            for name, one in asdict(group).items()
        }
        return Group(**figures)

    return replace(audited, groups=tuple(short(one) for one in audited.groups))


def _with_holm(audited: Sequence[Audited]) -> list[Audited]:
    tested = [one.p for found in audited for one in found.groups if one.p is not None]
    adjusted = iter(holm(tested))
    return [
        replace(
            found,
            groups=tuple(
                one if one.p is None else replace(one, p_holm=next(adjusted))
                for one in found.groups
            ),
        )
        for found in audited
    ]

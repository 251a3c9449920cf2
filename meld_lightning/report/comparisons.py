"""A table's rows tested against its reference row, in weighted F1 and accuracy.

Computes with report/statistics.py; reads and writes no files. Used by report/layout.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from meld_lightning.report import statistics
from meld_lightning.report.scored import Scored, check_joined, unit_confusions
from meld_lightning.report.statistics import (
    LEVEL,
    Jackknife,
    jackknife,
    paired_seeds,
    permutation,
    spread,
)

TESTED = ("weighted_f1", "accuracy")
CAUTION_UNITS = 20  # with fewer, a table says that its intervals and p-values are approximate
TEST_UNITS = 6  # with fewer, no p-value: swapping 5 units gives no two-sided p below .0625


@dataclass(frozen=True)
class Difference:
    """A row's metric minus that of the reference row, both means over seeds."""

    value: float
    low: float  # 95 % interval; nan for a single unit
    high: float
    low_simultaneous: float  # interval at the level that holds for all tests of the table together
    high_simultaneous: float
    p: float | None  # two-sided; None with fewer than TEST_UNITS units
    p_holm: float | None  # adjusted over all tests of the table
    at_floor: bool = False  # p is the smallest that the number of resamples allows
    holm_at_floor: bool = False


def comparisons(
    rows: Sequence[Sequence[Scored]], reference: Sequence[Scored], paired: bool = False
) -> list[dict[str, Difference]]:
    """Each row (its seeds) against the reference, by the names of TESTED.

    paired: the rows share runs seed by seed, as a fusion does with the runs that it fuses.

    With several seeds p comes from the variance of units and seeds; with one, from swapping the two
    predictions in whole units. All p-values are adjusted together by Holm's method. The adjusted
    intervals are Bonferroni's, simultaneous whatever the true differences are: intervals at the
    level of each Holm step would miss more often (Strassburger and Bretz, Statistics in Medicine
    27, 2008, give step-down intervals, which say nothing beyond the sign of what was rejected).
    """
    tests = len(rows) * len(TESTED)
    found = [_differences(row, reference, tests, paired) for row in rows]
    flat = [one[name] for one in found for name in TESTED]
    adjusted = iter(_with_holm(flat))
    return [{name: next(adjusted) for name in TESTED} for _ in found]


def _differences(
    row: Sequence[Scored], reference: Sequence[Scored], tests: int, paired: bool
) -> dict[str, Difference]:
    check_joined([*row, *reference])
    ours, theirs = jackknife(row), jackknife(reference)
    swapped: Mapping[str, float] = {}
    if len(row) == len(reference) == 1:
        counts = unit_confusions(row[0]), unit_confusions(reference[0])
        swapped = permutation(*counts, TESTED, statistics.RESAMPLES)
    paired = paired and len(row) == len(reference)
    return {
        name: difference(
            ours[name], theirs[name], tests, paired=paired, swapped_p=swapped.get(name)
        )
        for name in TESTED
    }


def difference(
    ours: Jackknife,
    theirs: Jackknife,
    tests: int = 1,
    *,
    paired: bool = False,
    swapped_p: float | None = None,
) -> Difference:
    """The difference between two rows in one metric, not yet adjusted.

    tests: how many tests the simultaneous interval holds for.
    paired: the seeds of the two rows belong together.
    swapped_p: p of the permutation test, which takes the place of the interval's p.
    """
    value, units = float(ours.values_S.mean() - theirs.values_S.mean()), len(ours.pseudo_US)
    if units < 2:
        nothing = float("nan")
        return Difference(value, nothing, nothing, nothing, nothing, None, None)
    both = spread(paired_seeds(ours, theirs)) if paired else spread(ours, theirs)
    halves = [both.half_width(level) for level in (LEVEL, 1 - (1 - LEVEL) / tests)]
    (low, high), (low_simultaneous, high_simultaneous) = (
        (max(-1.0, value - half), min(1.0, value + half)) for half in halves
    )
    p = None
    if units >= TEST_UNITS:
        p = both.p(value) if swapped_p is None else swapped_p
    at_floor = swapped_p is not None and _is_floor(p, units)
    return Difference(value, low, high, low_simultaneous, high_simultaneous, p, None, at_floor)


def _is_floor(p: float | None, units: int) -> bool:
    """Whether p is the smallest that randomly drawn swaps can give."""
    drawn = not statistics.all_swaps(units, statistics.RESAMPLES)
    return p is not None and drawn and p <= 1 / (statistics.RESAMPLES + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of a family of p-values, in the order given (Holm, Scandinavian
    Journal of Statistics 6, 1979).

    The bits of statsmodels' `multipletests`, which collects the whole process's garbage each time.
    """
    order = np.argsort(p_values)
    steps = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.take(p_values, order) * steps))
    return [float(p) for p in adjusted]


def _with_holm(found: Sequence[Difference]) -> list[Difference]:
    """The same differences with adjusted p-values."""
    p_values = [one.p for one in found if one.p is not None]
    if len(p_values) < len(found):  # all rows have the same units: none has a p-value
        return list(found)
    adjusted = holm(p_values)
    floors = {p for one, p in zip(found, adjusted, strict=True) if one.at_floor}
    return [
        replace(one, p_holm=p, holm_at_floor=p in floors)
        for one, p in zip(found, adjusted, strict=True)
    ]

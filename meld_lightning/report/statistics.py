"""Confidence intervals and tests that carry the variance of units and of seeds.

Computes from the predictions that report/scored.py reads; reads and writes no files. Used by
report/rows.py and report/comparisons.py. docs/statistics.md describes the protocol, and
benchmarks/interval_coverage.py simulates how often it errs.

An estimate is the mean of a metric over a row's seeds. Its variance has two parts. The part of the
units is the jackknife's: each unit is left out once, for all seeds and rows at the same time. The
part of the seeds is the variance between the seeds' figures, less what the interaction of units and
seeds adds to it, because the jackknife already contains that (Dorfman, Berbaum and Metz,
Investigative Radiology 27, 1992; Hillis, Statistics in Medicine 26, 2007: readers are our seeds,
cases our units).

Axes: S seeds, U units, R resamples, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meld_lightning.metrics import Floats, from_confusion
from meld_lightning.report.scored import Scored, check_joined, unit_confusions

Counts = NDArray[np.number[Any]]

LEVEL = 0.95
RESAMPLES = 5000  # of the permutation test; with fewer ways to swap the units, all of them
SEED = 20240  # fixed, so that a table rendered twice is the same table
SMALLEST_P = 1e-12  # the least p that is computed; tables print <0.0001 long before


@dataclass(frozen=True)
class Jackknife:
    """A metric of one row: its value in each seed, and the pseudovalues of its units.

    values_S: the metric of each seed on all units.
    pseudo_US: U times the value less U - 1 times the value without the unit (Tukey 1958); their
        mean over units estimates the metric, their variance that of the metric.
    """

    values_S: Floats
    pseudo_US: Floats


@dataclass(frozen=True)
class Part:
    """One component of an estimate's variance, and its degrees of freedom."""

    variance: float
    df: float


@dataclass(frozen=True)
class Spread:
    """The variance of an estimate: the part of the units, and those of each row's seeds (none for a
    single seed)."""

    units: Part
    seeds: tuple[Part, ...] = ()

    def half_width(self, level: float) -> float:
        """Half the width of a confidence interval: the mean of the two below.

        In the simulation the first is too narrow and the second somewhat too wide for some numbers
        of seeds; their mean comes closest to the promised rates (docs/statistics.md).
        """
        return (self.satterthwaite(level) + self.banerjee(level)) / 2

    def satterthwaite(self, level: float) -> float:
        """The half-width with one t quantile for all components (Satterthwaite, Biometrics Bulletin
        2, 1946): slightly too narrow where two or three seeds make up much of the variance."""
        both = _total((self.units, *self.seeds))
        return float(np.sqrt(both.variance)) * _quantile(both.df, level)

    def banerjee(self, level: float) -> float:
        """The half-width with a t quantile for units and one for seeds (Banerjee, Sankhya 22,
        1960): never too narrow if the variances are independent and the errors normal, which holds
        here approximately, but wide."""
        parts = (self.units, _total(self.seeds))
        return float(np.sqrt(sum(one.variance * _quantile(one.df, level) ** 2 for one in parts)))

    def p(self, difference: float) -> float:
        """The two-sided p-value: 1 minus the level at which the interval just reaches zero."""
        if difference == 0:
            return 1.0
        if self.units.variance == 0 and not any(one.variance for one in self.seeds):
            # the same difference in every unit: as small as a test that swaps units could be
            return max(SMALLEST_P, 2.0**-self.units.df)
        low, high = np.log(SMALLEST_P), 0.0
        for _ in range(50):  # bisection
            middle = (low + high) / 2
            if self.half_width(1 - np.exp(middle)) > abs(difference):
                low = middle
            else:
                high = middle
        return float(np.exp(high))


def jackknife(runs: Sequence[Scored]) -> dict[str, Jackknife]:
    """Every metric of a row's runs, one per seed, with each unit left out once.

    Raises UserError for runs that score different utterances.
    """
    check_joined(runs)
    return jackknife_counts(np.stack([unit_confusions(run) for run in runs], axis=1))


def jackknife_counts(counts_USKK: Counts) -> dict[str, Jackknife]:
    """Like `jackknife`, from each unit's confusion counts; no pseudovalues for a single unit."""
    units, total = len(counts_USKK), counts_USKK.sum(0)
    values = from_confusion(total)
    if units < 2:
        return {name: Jackknife(one, np.empty((0, len(one)))) for name, one in values.items()}
    without = from_confusion(total - counts_USKK)
    return {
        name: Jackknife(one, units * one - (units - 1) * without[name])
        for name, one in values.items()
    }


def one_seed(one: Jackknife, place: int) -> Jackknife:
    """The metric of one of the seeds."""
    return Jackknife(one.values_S[[place]], one.pseudo_US[:, [place]])


def estimate(one: Jackknife, level: float = LEVEL) -> tuple[float, float, float]:
    """The mean of a metric over seeds with its interval, cut off at 0 and 1: value, low, high. Low
    and high are nan for a single unit."""
    value = float(one.values_S.mean())
    half = spread(one).half_width(level) if len(one.pseudo_US) else np.nan
    low, high = np.clip([value - half, value + half], 0, 1)  # nan stays nan
    return value, float(low), float(high)


def paired_seeds(row: Jackknife, other: Jackknife) -> Jackknife:
    """The difference of two rows seed by seed, for rows whose seeds belong together: a fusion and
    the runs that it fuses."""
    return Jackknife(row.values_S - other.values_S, row.pseudo_US - other.pseudo_US)


def spread(*rows: Jackknife) -> Spread:
    """The variance of a row's mean over seeds; of two rows, that of the difference of their means
    on the same units, their seeds being independent."""
    means_U = rows[0].pseudo_US.mean(1)
    for other in rows[1:]:
        means_U = means_U - other.pseudo_US.mean(1)
    units = len(means_U)
    of_units = Part(float(means_U.var(ddof=1)) / units, units - 1)
    return Spread(of_units, tuple(_seed_part(one) for one in rows if len(one.values_S) > 1))


def spread_by_stratum(one: Jackknife, strata_U: NDArray[Any]) -> Spread:
    """Like `spread` for one row whose units are of several kinds: the stratified jackknife, with
    Satterthwaite's degrees of freedom over strata (Shao and Tu, The Jackknife and Bootstrap,
    Springer 1995, section 6.2). With units that have either of two groups it is Welch's.

    strata_U: the kind of each unit; a kind of a single unit counts to the largest.
    """
    means_U = one.pseudo_US.mean(1)
    kinds, sizes = np.unique(strata_U, return_counts=True)
    lone_U = np.isin(strata_U, kinds[sizes < 2])
    kind_U = np.where(lone_U, kinds[sizes.argmax()], strata_U)
    parts = []
    for kind in np.unique(kind_U):
        values = means_U[kind_U == kind]
        squares = float(((values - values.mean()) ** 2).sum()) / (len(means_U) - 1) ** 2
        parts.append(Part(squares * (len(values) - 1) / len(values), len(values) - 1))
    return replace(spread(one), units=_total(parts))


def _seed_part(one: Jackknife) -> Part:
    """The variance that a row's seeds add to its mean."""
    units, seeds = one.pseudo_US.shape
    pseudo = one.pseudo_US
    residual = pseudo - pseudo.mean(0) - pseudo.mean(1, keepdims=True) + pseudo.mean()
    interaction = float((residual**2).sum()) / ((units - 1) * (seeds - 1)) / (units * seeds)
    between = float(one.values_S.var(ddof=1)) / seeds
    return Part(max(0.0, between - interaction), seeds - 1)


def _total(parts: Sequence[Part]) -> Part:
    """The sum of independent components, with Satterthwaite's degrees of freedom."""
    variance = sum(one.variance for one in parts)
    below = sum(one.variance**2 / one.df for one in parts)
    return Part(variance, variance**2 / below if below > 0 else 1.0)


def _quantile(df: float, level: float) -> float:
    """Student's t quantile of a two-sided interval."""
    from scipy.special import stdtrit  # scipy.stats.t.ppf says the same, a hundred times slower

    return -float(stdtrit(df, (1 - level) / 2))


def permutation(
    counts_UKK: Counts, other_UKK: Counts, metrics: Sequence[str], resamples: int = RESAMPLES
) -> Mapping[str, float]:
    """Two-sided p of each metric's difference between two runs, by swapping their predictions in
    whole units.

    counts_UKK, other_UKK: each unit's confusion counts of the two runs, in the same order. All ways
    to swap are counted if there are no more than `resamples`, else as many drawn at random, the
    observed data among them (Phipson and Smyth, SAGMB 9, 2010): p is never below 1 / (resamples +
    1).
    """
    swapped_RU, exact = swaps(len(counts_UKK), resamples), all_swaps(len(counts_UKK), resamples)
    difference, shape = (other_UKK - counts_UKK).astype(np.float64), counts_UKK.shape[1:]
    change = (swapped_RU @ difference.reshape(len(difference), -1)).reshape(-1, *shape)
    one, other = from_confusion(counts_UKK.sum(0)), from_confusion(other_UKK.sum(0))
    swapped_one = from_confusion(counts_UKK.sum(0) + change)
    swapped_other = from_confusion(other_UKK.sum(0) - change)
    found = {}
    for name in metrics:
        drawn = np.abs(swapped_one[name] - swapped_other[name])
        as_large = int((drawn >= abs(one[name] - other[name]) - 1e-12).sum())
        found[name] = as_large / len(drawn) if exact else (as_large + 1) / (len(drawn) + 1)
    return found


def all_swaps(units: int, resamples: int) -> bool:
    """Whether there are at most `resamples` ways to swap."""
    return units < 63 and 2**units <= resamples


def swaps(units: int, resamples: int) -> Floats:
    """Which units to swap (R, U), as zeros and ones: all ways, or randomly drawn ones."""
    if all_swaps(units, resamples):
        ways = np.arange(2**units)[:, None] >> np.arange(units) & 1
        return ways.astype(np.float64)
    drawn = np.random.default_rng(SEED).integers(0, 2, (resamples, units))
    return drawn.astype(np.float64)

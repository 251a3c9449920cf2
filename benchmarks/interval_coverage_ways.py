"""The ways to test and bound two rows' results that benchmarks/interval_coverage.py compares.

Each takes a pair of rows and returns, for each metric tested, the intervals and whether the rows
differ. Reads and writes no file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.interval_coverage_draws import Array, Pair
from meld_lightning.metrics import from_confusion
from meld_lightning.report.comparisons import TESTED, difference
from meld_lightning.report.statistics import LEVEL, Spread, estimate, permutation, spread

RESAMPLES = 499  # of swaps and bootstraps; the tables take 5000
FAMILY = 8  # tests of a table with four rows beside the reference


@dataclass(frozen=True)
class Verdict:
    """What one way says of one replicate: the first row's interval, that of the difference, that at
    the level of FAMILY tests, and whether the rows differ (None: no p)."""

    row: tuple[float, float]
    difference: tuple[float, float]
    simultaneous: tuple[float, float]
    significant: bool | None


def ours(pair: Pair) -> dict[str, Verdict]:
    """What the tables print."""
    first, second = pair.jackknives
    swapped: Mapping[str, float] = {}
    if pair.first.shape[1] == 1:
        swapped = permutation(pair.first[:, 0], pair.second[:, 0], TESTED, RESAMPLES)
    found = {}
    for name in TESTED:
        one = difference(first[name], second[name], FAMILY, swapped_p=swapped.get(name))
        found[name] = Verdict(
            estimate(first[name])[1:],
            (one.low, one.high),
            (one.low_simultaneous, one.high_simultaneous),
            None if one.p is None else one.p <= 1 - LEVEL,
        )
    return found


def satterthwaite(pair: Pair) -> dict[str, Verdict]:
    """Units and seeds in one t quantile."""
    return _by_half_width(pair, Spread.satterthwaite)


def banerjee(pair: Pair) -> dict[str, Verdict]:
    """A t quantile for units and one for seeds."""
    return _by_half_width(pair, Spread.banerjee)


def _by_half_width(pair: Pair, half_width: Callable[[Spread, float], float]) -> dict[str, Verdict]:
    first, second = pair.jackknives
    found = {}
    for name in TESTED:
        value = float(first[name].values_S.mean())
        apart = value - float(second[name].values_S.mean())
        both = spread(first[name], second[name])
        half = half_width(both, LEVEL)
        found[name] = Verdict(
            _around(value, half_width(spread(first[name]), LEVEL)),
            _around(apart, half),
            _around(apart, half_width(both, 1 - (1 - LEVEL) / FAMILY)),
            abs(apart) > half,
        )
    return found


def _around(value: float, half: float) -> tuple[float, float]:
    return value - half, value + half


def percentile(pair: Pair) -> dict[str, Verdict]:
    """A percentile bootstrap over units with the seeds fixed, as the tables had it before."""
    return _bootstrap(pair, seeds_drawn=False)


def hierarchical(pair: Pair) -> dict[str, Verdict]:
    """A percentile bootstrap over units and seeds."""
    return _bootstrap(pair, seeds_drawn=True)


def _bootstrap(pair: Pair, seeds_drawn: bool) -> dict[str, Verdict]:
    units, seeds = pair.first.shape[:2]
    units_RU, seeds_RS = _draws(units, seeds)
    metrics = []
    for place, one in enumerate((pair.first, pair.second)):
        drawn = (units_RU @ one.reshape(units, -1)).reshape(-1, *one.shape[1:])
        by_seed = from_confusion(drawn)
        if seeds_drawn:
            by_seed = {
                name: np.take_along_axis(by_seed[name], seeds_RS[place], 1) for name in TESTED
            }
        metrics.append({name: by_seed[name].mean(1) for name in TESTED})
    found = {}
    for name in TESTED:
        apart = metrics[0][name] - metrics[1][name]
        tail = min(int((apart <= 0).sum()), int((apart >= 0).sum()))
        p = min(1.0, 2 * (tail + 1) / (len(apart) + 1))
        found[name] = Verdict(
            _percentiles(metrics[0][name], LEVEL),
            _percentiles(apart, LEVEL),
            _percentiles(apart, 1 - (1 - LEVEL) / FAMILY),
            p <= 1 - LEVEL,
        )
    return found


def _percentiles(drawn: Array, level: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@cache
def _draws(units: int, seeds: int) -> tuple[Array, NDArray[np.int64]]:
    """How often each unit is drawn (R, U), and the seeds drawn for each row (2, R, S)."""
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=RESAMPLES)
    return drawn.astype(np.float64), rng.integers(0, seeds, (2, RESAMPLES, seeds))


WAYS: dict[str, Callable[[Pair], dict[str, Verdict]]] = {
    "ours": ours,
    "satterthwaite": satterthwaite,
    "banerjee": banerjee,
    "percentile": percentile,
    "hierarchical": hierarchical,
}
BOOTSTRAPS = ("percentile", "hierarchical")  # slow: simulated on fewer replicates

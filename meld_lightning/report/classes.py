"""Precision, recall and F1 of each class with intervals that carry the variance of units and seeds.

Computes from what report/scored.py reads; writes nothing. Used by the page and by report/plots.py.

Axes: S seeds, U units, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meld_lightning.metrics import by_class
from meld_lightning.report.rows import Estimate
from meld_lightning.report.scored import Scored, check_joined, unit_confusions
from meld_lightning.report.statistics import Jackknife, estimate

BY_CLASS = ("precision", "recall", "f1")


def class_estimates(runs: Sequence[Scored]) -> dict[str, list[Estimate]]:
    """Each of BY_CLASS -> an estimate for each label: the mean over a row's runs, one per seed.

    Without an interval for a single unit. Raises UserError for runs that score different
    utterances.
    """
    check_joined(runs)
    counts_USKK = np.stack([unit_confusions(run) for run in runs], axis=1)
    units, total_SKK = len(counts_USKK), counts_USKK.sum(0)
    values = by_class(total_SKK)
    without = by_class(total_SKK - counts_USKK) if units > 1 else {}
    found: dict[str, list[Estimate]] = {}
    for name in BY_CLASS:
        values_SK = values[name]
        none_USK = np.empty((0, *values_SK.shape))
        pseudo_USK = (
            units * values_SK - (units - 1) * without[name] if name in without else none_USK
        )
        found[name] = [
            estimated(Jackknife(values_SK[:, label], pseudo_USK[:, :, label]))
            for label in range(values_SK.shape[1])
        ]
    return found


def estimated(one: Jackknife) -> Estimate:
    """The mean over seeds with its interval, None for a single unit."""
    value, low, high = estimate(one)
    sd = float(np.std(one.values_S, ddof=1)) if len(one.values_S) > 1 else None
    return Estimate(value, _known(low), _known(high), sd)


def _known(end: float) -> float | None:
    return None if np.isnan(end) else end

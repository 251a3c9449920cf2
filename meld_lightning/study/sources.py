"""Runs that a table or figure takes from other tables: one named cell, or the best of several by a
val/ metric.

Reads run objects, writes nothing. Used by report/study.py, which fuses them, and by the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from meld_lightning.report.rows import Runs, stored
from meld_lightning.report.statistics import Run
from meld_lightning.study.spec import Source, Table


def source_runs(
    source: Source, tables: Mapping[str, Table], runs: Runs, seeds: Sequence[int]
) -> dict[int, Run]:
    """seed -> the run that `source` stands for; empty while a run that it may be is missing.

    Chosen by the mean over seeds; the first of equals.
    """
    candidates = []
    for table, cell in source.cells(tables):
        by_seed = {run.result["seed"]: run for run in runs.get((table, cell), ())}
        if set(by_seed) < set(seeds):
            return {}
        candidates.append(by_seed)
    if not candidates:
        return {}
    if source.rule is None:
        return candidates[0]
    sign, metric = (1 if source.rule.best == "max" else -1), source.rule.metric
    means = [
        sign * np.mean([stored(run, metric) for run in by_seed.values()]) for by_seed in candidates
    ]
    return candidates[int(np.argmax(means))]

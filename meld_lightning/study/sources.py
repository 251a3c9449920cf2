"""Runs that a table or figure takes from other tables: one named row, or the best of several by a
val/ metric.

Reads run objects, writes nothing. Used by study/plan.py, which fuses these runs, and by the
figures of report/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from meld_lightning.errors import UserError
from meld_lightning.runs.result import Result
from meld_lightning.study.spec import RowKey, Rule, Source, Table


class FinishedRun(Protocol):
    """What studies and reports read of a finished run (meld_lightning.runs.run.Run)."""

    @property
    def folder(self) -> Any: ...
    @property
    def result(self) -> Result: ...
    @property
    def config(self) -> Any: ...
    def logits(self, split: str) -> Any: ...


AnyRun = TypeVar("AnyRun", bound=FinishedRun)


def of_fold(
    runs: Mapping[RowKey, Sequence[AnyRun]], fold: int | None
) -> dict[RowKey, list[AnyRun]]:
    """The runs of one fold; all of them if `fold` is None."""
    return {
        row: [run for run in of_row if fold is None or run.result.fold == fold]
        for row, of_row in runs.items()
    }


def source_runs(
    source: Source,
    tables: Mapping[str, Table],
    runs: Mapping[RowKey, Sequence[AnyRun]],
    seeds: Sequence[int],
) -> dict[int, AnyRun]:
    """seed -> the run that `source` stands for; empty while any candidate lacks a run."""
    return {seed: ranked[0] for seed, ranked in ranked_runs(source, tables, runs, seeds).items()}


def ranked_runs(
    source: Source,
    tables: Mapping[str, Table],
    runs: Mapping[RowKey, Sequence[AnyRun]],
    seeds: Sequence[int],
) -> dict[int, list[AnyRun]]:
    """seed -> the run that `source` stands for, then those it was chosen over by the source's rule;
    empty while any candidate lacks a run, or where the source names a seed that the study does not
    run."""
    candidates = []
    for key in source.candidates(tables):
        by_seed = {run.result.seed: run for run in runs.get(key, ())}
        if not set(by_seed) >= set(seeds):
            return {}
        candidates.append(by_seed)
    if not candidates:
        return {}
    place = 0
    if source.rule is not None:
        place = best_place(source.rule, [list(one.values()) for one in candidates])
    if source.seed is not None:
        named = candidates[place].get(source.seed)
        return {seed: [named] for seed in seeds} if named is not None else {}
    ordered = [candidates[place], *candidates[:place], *candidates[place + 1 :]]
    return {seed: [one[seed] for one in ordered if seed in one] for seed in candidates[place]}


def best_place(rule: Rule, candidates: Sequence[Sequence[FinishedRun]]) -> int:
    """The place of the candidate whose runs have the best mean of the rule's metric; the first of
    equals."""
    means = [float(np.mean([stored(run, rule.metric) for run in one])) for one in candidates]
    return int(np.argmax(means) if rule.best == "max" else np.argmin(means))


def stored(run: FinishedRun, metric: str) -> float:
    """A metric such as val/loss from the run's result.json; UserError where it is not there."""
    split, name = metric.split("/")
    try:
        return float(run.result.metrics[split][name])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{run.folder}: result.json has no metrics.{split}.{name}; run it again"
        ) from error

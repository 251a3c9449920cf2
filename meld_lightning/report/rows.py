"""The rows of one table: the runs behind each row, and its estimates with their intervals.

Reads run objects, writes nothing. Used by report/layout.py and report/records.py. A row that lacks
a run prints no estimate: its text says what is missing, and no mean is taken over fewer seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from meld_lightning.config.words import setting
from meld_lightning.errors import UserError
from meld_lightning.report.scored import Scored, scored
from meld_lightning.report.statistics import Jackknife, estimate, jackknife, one_seed
from meld_lightning.study.sources import FinishedRun, best_place, stored
from meld_lightning.study.spec import (
    BASELINE,
    CHOSEN,
    OWN_CHOSEN,
    Overrides,
    RowKey,
    Rule,
    Table,
    has_interval,
)

TOLERANCE = 5e-5  # stored and recomputed metrics must agree to the digits printed

Runs = Mapping[RowKey, Sequence[FinishedRun]]


@dataclass(frozen=True)
class Estimate:
    """A metric of one run, or its mean over a row's seeds; the interval is None where there are no
    logits, or only one unit."""

    value: float
    low: float | None = None
    high: float | None = None
    sd: float | None = None  # over seeds


@dataclass(frozen=True)
class DeclaredRow:
    """A row of the spec and the runs found for it, in the order of the seeds."""

    key: str
    overrides: Overrides
    runs: tuple[FinishedRun, ...]
    missing: str  # "" if every seed is there


@dataclass(frozen=True)
class Row:
    """A printed row."""

    key: str  # its key under `paper`
    declared: str  # the declared row whose runs these are; "" if none could be chosen
    label: str
    missing: str
    settings: dict[str, str] = field(default_factory=dict)
    runs: tuple[FinishedRun, ...] = ()
    scored: tuple[Scored, ...] = ()  # one per seed; empty while a seed is missing
    by_seed: tuple[dict[str, Estimate], ...] = ()  # one per seed that is there
    mean: dict[str, Estimate] = field(default_factory=dict)  # empty while a seed is missing

    @property
    def n(self) -> int | None:
        """The number of utterances scored, those of the table's split."""
        return len(self.scored[0].keys) if self.scored else None


def table_rows(table: Table, owner: Table, runs: Runs, seeds: Sequence[int]) -> list[Row]:
    """Every row of a table, the constant baseline last.

    owner: the table that declares the rows: `table` itself or the one it names in `from`.
    runs: the available runs of each (table, row).
    seeds: the seeds that every row should have.
    """
    declared = [
        _declared(table, key, overrides, runs, seeds) for key, overrides in table.rows.items()
    ]
    _check_comparable(declared)
    if table.select is None:
        rows = [_row(table, one, one.key, one.key) for one in declared]
    else:
        rows = _selected(table, owner, table.select, declared)
    return [*rows, _baseline(table, rows, declared)]


def _declared(
    table: Table, key: str, overrides: Overrides | None, runs: Runs, seeds: Sequence[int]
) -> DeclaredRow:
    if overrides is None:
        return DeclaredRow(key, [], (), "not run")
    by_seed: dict[int, FinishedRun] = {}
    for run in runs.get((table.source, key), ()):
        seed = run.result.seed
        if seed not in seeds or seed in by_seed:
            why = (
                f"is also the seed of {by_seed[seed].folder}"
                if seed in by_seed
                else "is not among the requested seeds"
            )
            raise UserError(f"{run.folder}: seed {seed} of {table.source}.{key} {why}")
        by_seed[seed] = run
    absent = len(seeds) - len(by_seed)
    text = "missing" if len(seeds) == 1 else f"missing {absent} of {len(seeds)} seeds"
    found = tuple(by_seed[seed] for seed in seeds if seed in by_seed)
    return DeclaredRow(key, overrides, found, text if absent else "")


def _check_comparable(rows: Sequence[DeclaredRow]) -> None:
    """UserError unless all runs of a table share corpus, fold, label order and train majority."""
    runs = [run for row in rows for run in row.runs]
    for what, read in (
        ("corpus digest", lambda run: run.result.digests["corpus"]),
        ("fold", lambda run: run.result.fold),
        ("label order", lambda run: run.result.labels),
        ("most common train label", lambda run: run.result.train_majority),
    ):
        for run in runs[1:]:
            one, other = read(runs[0]), read(run)
            if one != other:
                raise UserError(
                    f"{runs[0].folder} and {run.folder} differ in {what} ({one}, {other}): one"
                    " table cannot show both"
                )


def _selected(table: Table, owner: Table, rule: Rule, declared: Sequence[DeclaredRow]) -> list[Row]:
    """The best of the rows that the paper prints and, if the study has rows of its own, the best of
    those."""
    printed = [row for row in declared if row.key in owner.paper]
    own = [row for row in declared if row.key not in owner.paper]
    rows = [_choose(table, rule, printed, CHOSEN, table.label)]
    return rows + ([_choose(table, rule, own, OWN_CHOSEN, "the study's own row")] if own else [])


def _choose(table: Table, rule: Rule, declared: Sequence[DeclaredRow], key: str, label: str) -> Row:
    """Chooses no row while a candidate is missing, because the missing one might be the best."""
    candidates = [row for row in declared if row.missing != "not run"]
    absent = sum(bool(row.missing) for row in candidates)
    if not candidates or absent:
        why = f"missing {absent} of {len(candidates)} candidate rows" if candidates else "not run"
        return Row(key, "", label, why)
    best = candidates[best_place(rule, [row.runs for row in candidates])]
    return _row(table, best, key, f"{label} ({best.key})")


def _row(table: Table, declared: DeclaredRow, key: str, label: str) -> Row:
    settings = {name: _setting(name, declared) for name in table.columns}
    row = Row(key, declared.key, label, declared.missing, settings)
    if not declared.runs:
        return row
    runs, one_split = declared.runs, tuple(scored(run, table.split) for run in declared.runs)
    found = jackknife(one_split)
    by_seed = tuple(
        _estimates(table, [run], {name: one_seed(one, place) for name, one in found.items()})
        for place, run in enumerate(runs)
    )
    if declared.missing:
        return replace(row, runs=runs, by_seed=by_seed)
    mean = _estimates(table, runs, found)
    return replace(row, runs=runs, scored=one_split, by_seed=by_seed, mean=mean)


def _estimates(
    table: Table,
    runs: Sequence[FinishedRun],
    found: Mapping[str, Jackknife],
) -> dict[str, Estimate]:
    """Each metric's mean over the runs, computed from logits where there are any."""
    estimates = {}
    for metric in table.metrics:
        values = [stored(run, metric) for run in runs]
        low, high = None, None
        if has_interval(metric):
            name = metric.split("/")[1]
            values = [
                _checked(run, metric, value, float(computed))
                for run, value, computed in zip(runs, values, found[name].values_S, strict=True)
            ]
            low, high = _interval(found[name])
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
        estimates[metric] = Estimate(float(np.mean(values)), low, high, sd)
    return estimates


def _interval(one: Jackknife) -> tuple[float | None, float | None]:
    _, low, high = estimate(one)
    return (None, None) if np.isnan(low) else (low, high)


def _checked(run: FinishedRun, metric: str, stored_value: float, computed: float) -> float:
    """The metric computed from logits; UserError if the run's result.json disagrees."""
    if abs(stored_value - computed) > TOLERANCE:
        raise UserError(
            f"{run.folder}: result.json says {metric} {stored_value:.6f}, its logits"
            f" {computed:.6f}; run it again"
        )
    return computed


def _setting(name: str, row: DeclaredRow) -> str:
    """The setting that a row's runs used; for a row without runs, the declared one."""
    if not row.runs:
        declared = dict(one.lstrip("+").split("=", 1) for one in row.overrides)
        return declared.get(name, "")
    from omegaconf import OmegaConf

    return setting(OmegaConf.select(row.runs[0].config, name))


def _baseline(table: Table, rows: Sequence[Row], declared: Sequence[DeclaredRow]) -> Row:
    """The most common train label, predicted for every utterance that the rows score."""
    run = next((run for row in declared for run in row.runs), None)
    if run is None:
        return Row(BASELINE, BASELINE, "constant baseline", "missing")
    label = run.result.train_majority
    utterances = next((row.scored[0] for row in rows if row.scored), None) or scored(
        run, table.split
    )
    constant = utterances.constant(label)
    found = jackknife([constant])
    names = {metric: metric.split("/")[1] for metric in table.metrics if has_interval(metric)}
    mean = {
        metric: Estimate(float(found[name].values_S[0]), *_interval(found[name]))
        for metric, name in names.items()
    }
    return Row(BASELINE, BASELINE, f"constant ({label})", "", scored=(constant,), mean=mean)

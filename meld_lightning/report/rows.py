"""The rows of one table: which runs stand behind each, and its figures with their intervals.

Reads run objects, writes nothing. Used by report/layout.py and report/render.py. A row whose runs
are not all there has no figure in the table: its text says what is missing, and no mean is taken
over fewer seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from meld_lightning.errors import UserError
from meld_lightning.metrics import Floats
from meld_lightning.report.statistics import (
    Run,
    Scored,
    bootstrap,
    interval,
    resampled_metrics,
    scored,
)
from meld_lightning.study.spec import (
    BASELINE,
    CHOSEN,
    OWN_CHOSEN,
    Overrides,
    Rule,
    Table,
    has_interval,
    setting,
)

AGREE = 5e-5  # stored and recomputed metrics must agree to the digits printed

Runs = Mapping[tuple[str, str], Sequence[Run]]


@dataclass(frozen=True)
class Figure:
    """A metric of one run, or its mean over the seeds of a row; no interval where there are no
    logits to draw from."""

    value: float
    low: float | None = None
    high: float | None = None
    sd: float | None = None  # over seeds


@dataclass(frozen=True)
class Cell:
    """A declared row and the runs found for it, in the order of the seeds."""

    key: str
    overrides: Overrides
    runs: tuple[Run, ...]
    missing: str  # "" where every seed is there


@dataclass(frozen=True)
class Row:
    """A printed row."""

    key: str  # what `paper` calls it
    cell: str  # whose runs these are; "" where none could be chosen
    label: str
    missing: str
    settings: dict[str, str] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    scored: tuple[Scored, ...] = ()  # one a seed; none while a seed is missing
    by_seed: tuple[dict[str, Figure], ...] = ()  # of the seeds that are there
    mean: dict[str, Figure] = field(default_factory=dict)  # empty while a seed is missing

    @property
    def n(self) -> int | None:
        """Utterances of the table's split."""
        return len(self.scored[0].keys) if self.scored else None


CellOrRow = TypeVar("CellOrRow", Cell, Row)


def table_rows(table: Table, owner: Table, runs: Runs, seeds: Sequence[int]) -> list[Row]:
    """Every row of a table, the constant baseline last.

    owner: the table whose cells these are, itself or the one it takes them `from`. runs, seeds: see
        render_tables.
    """
    cells = [_cell(table, key, overrides, runs, seeds) for key, overrides in table.cells.items()]
    _check_alike(cells)
    if table.select is None:
        rows = [_row(table, cell, cell.key, cell.key) for cell in cells]
    else:
        rows = _selected(table, owner, table.select, cells)
    return [*rows, _baseline(table, rows, cells)]


def best(rule: Rule, cells: Sequence[CellOrRow]) -> CellOrRow:
    """The one whose mean of the rule's metric over seeds is best; the first of equals."""
    means = [float(np.mean([stored(run, rule.metric) for run in cell.runs])) for cell in cells]
    return cells[int(np.argmax(means) if rule.best == "max" else np.argmin(means))]


def stored(run: Run, metric: str) -> float:
    """A metric such as val/loss from the run's result.json; UserError where it is not there."""
    split, name = metric.split("/")
    try:
        return float(run.result["metrics"][split][name])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{run.folder}: result.json has no metrics.{split}.{name}; run it again"
        ) from error


def _cell(
    table: Table, key: str, overrides: Overrides | None, runs: Runs, seeds: Sequence[int]
) -> Cell:
    if overrides is None:
        return Cell(key, [], (), "not run")
    by_seed: dict[int, Run] = {}
    for run in runs.get((table.source, key), ()):
        seed = run.result["seed"]
        if seed not in seeds or seed in by_seed:
            why = (
                "is not among the seeds asked for"
                if seed not in seeds
                else f"is also that of {by_seed[seed].folder}"
            )
            raise UserError(f"{run.folder}: seed {seed} of {table.source}.{key} {why}")
        by_seed[seed] = run
    absent = len(seeds) - len(by_seed)
    text = "missing" if len(seeds) == 1 else f"missing {absent} of {len(seeds)} seeds"
    found = tuple(by_seed[seed] for seed in seeds if seed in by_seed)
    return Cell(key, overrides, found, text if absent else "")


def _check_alike(cells: Sequence[Cell]) -> None:
    """UserError unless all runs of a table rest on the same corpus, fold and labels."""
    all_runs = [run for cell in cells for run in cell.runs]
    for what, read in (
        ("corpus digest", lambda run: run.result["digests"]["corpus"]),
        ("fold", lambda run: run.result.get("fold")),
        ("label order", lambda run: list(run.result["labels"])),
        ("majority label of train", lambda run: run.result["train_majority"]),
    ):
        for run in all_runs[1:]:
            one, other = read(all_runs[0]), read(run)
            if one != other:
                raise UserError(
                    f"{all_runs[0].folder} and {run.folder} differ in {what} ({one}, {other}): not"
                    " one table"
                )


def _selected(table: Table, owner: Table, rule: Rule, cells: Sequence[Cell]) -> list[Row]:
    """The best of the paper's rows and, where the study has rows of its own, the best of those."""
    printed = [cell for cell in cells if cell.key in owner.paper]
    own = [cell for cell in cells if cell.key not in owner.paper]
    rows = [_choose(table, rule, printed, CHOSEN, table.label)]
    return rows + ([_choose(table, rule, own, OWN_CHOSEN, "the study's own")] if own else [])


def _choose(table: Table, rule: Rule, cells: Sequence[Cell], key: str, label: str) -> Row:
    """None is chosen while one of them is missing: the missing one might be the best."""
    asked = [cell for cell in cells if cell.missing != "not run"]
    absent = sum(bool(cell.missing) for cell in asked)
    if not asked or absent:
        return Row(
            key,
            "",
            label,
            f"missing {absent} of {len(asked)} rows to choose from" if asked else "not run",
        )
    cell = best(rule, asked)
    return _row(table, cell, key, f"{label} ({cell.key})")


def _row(table: Table, cell: Cell, key: str, label: str) -> Row:
    settings = {name: _setting(name, cell) for name in table.columns}
    if not cell.runs:
        return Row(key, cell.key, label, cell.missing, settings)
    one_split = tuple(scored(run, table.split) for run in cell.runs)
    drawn = resampled_metrics(one_split)
    by_seed = tuple(
        _figures(table, [run], [one], {name: values[:, [place]] for name, values in drawn.items()})
        for place, (run, one) in enumerate(zip(cell.runs, one_split, strict=True))
    )
    if cell.missing:
        return Row(key, cell.key, label, cell.missing, settings, cell.runs, (), by_seed)
    mean = _figures(table, cell.runs, one_split, drawn)
    return Row(key, cell.key, label, "", settings, cell.runs, one_split, by_seed, mean)


def _figures(
    table: Table, runs: Sequence[Run], one_split: Sequence[Scored], drawn: Mapping[str, Floats]
) -> dict[str, Figure]:
    """Each metric's mean over the runs, computed from logits where there are any. drawn: resampled
    metrics (R, S)."""
    figures = {}
    for metric in table.metrics:
        values = [stored(run, metric) for run in runs]
        low, high = None, None
        if has_interval(metric):
            name = metric.split("/")[1]
            values = [
                _agreed(run, metric, was, one.metrics()[name])
                for run, was, one in zip(runs, values, one_split, strict=True)
            ]
            low, high = interval(drawn[name].mean(1))
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
        figures[metric] = Figure(float(np.mean(values)), low, high, sd)
    return figures


def _agreed(run: Run, metric: str, was: float, found: float) -> float:
    """The metric computed from logits; UserError where the run's result.json says something
    else."""
    if abs(was - found) > AGREE:
        raise UserError(
            f"{run.folder}: result.json says {metric} {was:.6f}, its logits {found:.6f}; run it"
            " again"
        )
    return found


def _setting(name: str, cell: Cell) -> str:
    """The setting a row's runs had; for a row without runs, the one it is declared with."""
    if not cell.runs:
        declared = dict(one.lstrip("+").split("=", 1) for one in cell.overrides)
        return declared.get(name, "")
    from omegaconf import OmegaConf

    return setting(OmegaConf.select(cell.runs[0].config, name))


def _baseline(table: Table, rows: Sequence[Row], cells: Sequence[Cell]) -> Row:
    """The commonest label of train, predicted for every utterance that the rows score."""
    run = next((run for cell in cells for run in cell.runs), None)
    if run is None:
        return Row(BASELINE, BASELINE, "constant baseline", "missing")
    label = run.result["train_majority"]
    like = next((row.scored[0] for row in rows if row.scored), None) or scored(run, table.split)
    constant = like.constant(label)
    intervals, values = bootstrap([constant]), constant.metrics()
    names = {metric: metric.split("/")[1] for metric in table.metrics if has_interval(metric)}
    mean = {metric: Figure(values[name], *intervals[name]) for metric, name in names.items()}
    return Row(BASELINE, BASELINE, f"constant ({label})", "", scored=(constant,), mean=mean)

"""A table as text: grids of cells, the tests under them, the remarks below.

Reads the rows of report/rows.py, writes nothing. Used by report/render.py, which makes Markdown and
LaTeX of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meld_lightning.report import statistics
from meld_lightning.report.extras import class_grid, fusion_grids, gap_remark
from meld_lightning.report.grid import Grid
from meld_lightning.report.notes import NOTES
from meld_lightning.report.rows import Figure, Row, best
from meld_lightning.report.statistics import holm, mcnemar, paired_bootstrap
from meld_lightning.study.spec import BASELINE, FOUND, Table, has_interval

NONE = "—"  # the paper has no such figure, or the row no such setting
OFFICIAL = {"official": "MELD's CSV files", FOUND: "found here"}


@dataclass(frozen=True)
class Page:
    """One rendered table before it becomes Markdown or LaTeX."""

    name: str
    title: str
    study_note: str
    grids: list[Grid]
    remarks: list[str] = field(default_factory=list)  # how to read the figures
    verdicts: list[str] = field(
        default_factory=list
    )  # against the paper, where the study may claim that
    notes: list[str] = field(default_factory=list)


def runs_page(
    table: Table,
    rows: Sequence[Row],
    seeds: Sequence[int],
    study: Mapping[str, Any],
    optimum: Mapping[str, Any] | None = None,
) -> Page:
    """Rows beside the paper's figures, with the tests and remarks that belong to them.

    optimum: the best accuracy possible, where that is known (see corpus.mini_optimum).
    """
    grids, remarks = [_figures_grid(table, rows)], _remarks(table, rows, seeds)
    compared = [row for row in rows if row.scored]
    chosen = _reference(table, compared)
    if chosen:
        grids.append(_tests_grid(table, chosen, compared, rows, seeds))
        remarks += _test_remarks(table, len(seeds))
    if table.by_class:
        grids += [class_grid(row) for row in compared if row.key != BASELINE]
    if chosen and table.sources:
        grids += fusion_grids(chosen)
        remarks += (
            gap_remark(chosen, optimum) if optimum and "test/accuracy" in table.metrics else []
        )
    verdicts = _verdicts(table, rows) if study["claims"] else []
    return Page(table.name, table.title, study["note"], grids, remarks, verdicts, _notes(table))


def corpus_page(
    table: Table, counts: Mapping[str, Mapping[str, int]], study: Mapping[str, Any]
) -> Page:
    """Utterances by split, beside the paper's. counts: {found or official: {split: n}}."""
    columns = {
        "paper": table.paper[FOUND],
        **{OFFICIAL.get(name, name): column for name, column in counts.items()},
    }
    splits = list(dict.fromkeys(split for column in columns.values() for split in column))
    body = [
        [
            split,
            *(str(column.get(split, NONE if column else "missing")) for column in columns.values()),
        ]
        for split in splits
    ]
    grid = Grid("", ["split", *columns], body)
    return Page(table.name, table.title, study["note"], [grid], notes=_notes(table))


def figure_text(figure: Figure, percent: bool) -> str:
    """0.6345 ± 0.0040 [0.6160, 0.6530]; the spread over seeds and the interval where there are
    any."""
    scale, digits = (100, 2) if percent else (1, 4)
    # equal figures print alike though they were computed another way: weighted recall is accuracy
    text = f"{round(figure.value * scale, 9):.{digits}f}"
    if figure.sd is not None:
        text += f" ± {figure.sd * scale:.{digits}f}"
    if figure.low is not None and figure.high is not None:
        text += f" [{figure.low * scale:.{digits}f}, {figure.high * scale:.{digits}f}]"
    return text


def _figures_grid(table: Table, rows: Sequence[Row]) -> Grid:
    headers = ["row", *table.columns.values()] if not table.select else ["model"]
    compared = bool(
        table.paper or table.published
    )  # a study's own table has no paper's figures beside ours
    for header in table.metrics.values():
        headers += [f"{header}, paper", "ours"] if compared else [header]
    settings = [] if table.select else list(table.columns)
    body = []
    for model, printed in table.published.items():
        figures = [printed, NONE] + [NONE, NONE] * (len(table.metrics) - 1)
        body.append([model, *[NONE] * len(settings), *figures, NONE])
    for row in rows:
        cells = [row.label, *(row.settings.get(name) or NONE for name in settings)]
        for metric in table.metrics:
            ours = (
                figure_text(row.mean[metric], table.percent)
                if metric in row.mean
                else row.missing or NONE
            )
            cells += [table.paper.get(row.key, {}).get(metric, NONE), ours] if compared else [ours]
        body.append([*cells, str(row.n or NONE)])
    return Grid("", [*headers, "n"], body)


def _reference(table: Table, compared: Sequence[Row]) -> Row | None:
    """The row that the others are tested against: a fixed one, or the one that val chose."""
    models = [row for row in compared if row.key != BASELINE]
    if table.against:
        return next((row for row in models if row.key == table.against), None)
    return best(table.compare, models) if table.compare and models else None


def _tests_grid(
    table: Table, chosen: Row, compared: Sequence[Row], rows: Sequence[Row], seeds: Sequence[int]
) -> Grid:
    """Every row against `chosen`: F1 by paired bootstrap, accuracy by McNemar, all adjusted
    together."""
    others = [row for row in compared if row is not chosen]
    differences = [paired_bootstrap(row.scored, chosen.scored, "weighted_f1") for row in others]
    exact = [mcnemar(row.scored[0], chosen.scored[0]) for row in others]
    adjusted = holm([one.p for one in differences] + exact)
    body = []
    for place, (row, one) in enumerate(zip(others, differences, strict=True)):
        difference = f"{one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}]"
        p_values = (one.p, adjusted[place], exact[place], adjusted[len(others) + place])
        body.append([row.label, difference, *map(_p_text, p_values)])
    absent = sum(1 for row in rows if row.missing)
    how = (
        f"the row chosen on val ({table.compare.best} {table.compare.metric})"
        if table.compare
        else "row by row"
    )
    caption = f"Against {chosen.label}, {how}"
    caption += f" among those that are there ({absent} not there)" if absent else ""
    bootstrap_p, mcnemar_p = (
        "p, bootstrap",
        "p, McNemar" + (f" (seed {seeds[0]})" if len(seeds) > 1 else ""),
    )
    return Grid(
        caption,
        [
            "row",
            "weighted F1 less chosen" if table.compare else f"weighted F1 less {chosen.label}",
            bootstrap_p,
            "Holm",
            mcnemar_p,
            "Holm",
        ],
        body,
    )


def _p_text(p: float) -> str:
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"


def _remarks(table: Table, rows: Sequence[Row], seeds: Sequence[int]) -> list[str]:
    there = next((row for row in rows if row.scored), None)
    if there is None:
        return []
    import numpy as np

    units = len(np.unique(there.scored[0].units.astype(str)))
    each = [
        name for row in rows for run in row.runs for name in run.result["checkpoint"].split(" + ")
    ]
    weights = ", ".join(sorted(set(each)))
    text = (
        f"Weights: {weights}. n: utterances of {table.split} scored. In brackets: 95 % interval,"
        " percentile "
    )
    text += (
        f"bootstrap with {statistics.RESAMPLES} resamples over {units} units (dialogues; without"
        " them speakers, "
    )
    text += (
        f"else utterances). A uniform guess among the {len(there.scored[0].labels)} labels has"
        " accuracy "
    )
    text += f"{1 / len(there.scored[0].labels):.4f}."
    if table.folds:
        text += (
            f" Every utterance is told by the run of that of {len(table.folds)} folds which holds"
            " it out. As it is "
        )
        text += (
            "val in another fold, what was chosen by val of all folds makes these figures somewhat"
            " optimistic."
        )
    absent = {row.label: int((~row.scored[0].present).sum()) for row in rows if row.scored}
    if any(absent.values()):
        text += (
            " Utterances without any modality that a row reads count with the commonest label as"
            " their prediction: "
        )
        text += ", ".join(f"{count} ({label})" for label, count in absent.items() if count) + "."
    if any(not has_interval(metric) for metric in table.metrics):
        text += " Losses have no interval."
    if table.split == "val":
        text += " Val chose each run's epoch too, so that all of these figures are optimistic."
    if len(seeds) > 1:
        text += (
            f" Ours: mean ± standard deviation over {len(seeds)} seeds; the interval is that of"
            " the "
        )
        text += "mean and covers the draw of utterances, not that of seeds."
    if table.select:
        text += (
            f" Our row is the one with the {table.select.best} {table.select.metric}; test chose"
            " nothing, and "
        )
        text += "published figures come without the predictions that a paired test would need."
    return [text]


def _test_remarks(table: Table, seeds: int) -> list[str]:
    text = (
        "Tests are two-sided: weighted F1 by a bootstrap over the same resampled units, accuracy by"
        " McNemar's exact "
    )
    text += (
        "test, which takes utterances as independent; Holm adjusts over all of this table's tests."
    )
    if seeds > 1:
        text += " The bootstrap compares means over seeds, McNemar the first seed alone."
    if table.split == "val" and table.compare:
        text += " Val also chose the row compared with, which makes these p-values optimistic."
    return [text]


def _verdicts(table: Table, rows: Sequence[Row]) -> list[str]:
    """One line a row: where ours lies against each printed figure, judged by our interval alone."""
    lines = []
    for row in rows:
        found = []
        for metric, printed in table.paper.get(row.key, {}).items():
            figure = row.mean.get(metric)
            if figure is None or figure.low is None or figure.high is None:
                continue
            paper = float(printed) / (100 if table.percent else 1)
            where = "above" if figure.low > paper else "below" if figure.high < paper else "within"
            found.append(f"{table.metrics[metric]} {where}")
        if found:
            lines.append(f"{row.label}: {', '.join(found)}")
    return lines


def _notes(table: Table) -> list[str]:
    return [f"Note {number}. {NOTES[number]}" for number in table.notes]

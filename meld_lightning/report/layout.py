"""Lays out a table as text: its grids, the tests below them, the remarks and notes.

Reads the rows of report/rows.py, writes nothing. Used by report/render.py, which has the page
written as Markdown and LaTeX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isnan
from typing import Any

from meld_lightning.report.breakdowns import choices_remark, class_grid, fusion_grids, gap_remark
from meld_lightning.report.comparisons import TESTED, Difference
from meld_lightning.report.notes import notes_of
from meld_lightning.report.page import Grid, Page
from meld_lightning.report.remarks import (
    MARK,
    provenance_remark,
    reading_remark,
    seeds_differ,
    tests_remark,
    verdicts,
)
from meld_lightning.report.row_tests import RowTests
from meld_lightning.report.rows import Estimate, Row
from meld_lightning.study.kinds import FOUND
from meld_lightning.study.spec import BASELINE, Table

TESTED_AS = {name: {"weighted_f1": "Weighted F1"}.get(name, name.capitalize()) for name in TESTED}
MOST_BESIDE = 3  # metrics with the paper's figures in columns beside ours
NONE = "—"  # the paper prints no such figure, or the row has no such setting
COUNTED = {"official": "MELD's CSV files", FOUND: "found here"}


def runs_page(
    table: Table,
    rows: Sequence[Row],
    tests: RowTests | None,
    seeds: Sequence[int],
    study: Mapping[str, Any],
    optimum: Mapping[str, Any] | None = None,
) -> Page:
    """The rows beside the paper's figures, with their tests and remarks.

    tests: the rows tested against the reference row; None without one.
    optimum: the best accuracy possible, where it is known (see mini.corpus.mini_optimum).
    """
    if not study.get("show_paper", True):
        table = replace(table, paper={}, published={})
    grids, remarks = [_estimates_grid(table, rows)], reading_remark(table, rows, seeds)
    complete = [row for row in rows if row.scored]
    reference = tests.reference if tests else None
    if tests:
        grids += _tests_grids(table, tests, rows)
        remarks += tests_remark(table, tests.reference)
    remarks += choices_remark(rows)
    if table.by_class:
        grids += [class_grid(row) for row in complete if row.key != BASELINE]
    if reference and table.sources:
        grids += fusion_grids(reference)
        if optimum and "test/accuracy" in table.metrics:
            remarks += gap_remark(reference, optimum)
    return Page(
        table.name,
        table.title,
        study["note"],
        grids,
        remarks + provenance_remark(rows),
        verdicts(table, rows) if study["compare_to_paper"] else [],
        notes_of(table),
    )


def corpus_page(
    table: Table, counts: Mapping[str, Mapping[str, int]], study: Mapping[str, Any]
) -> Page:
    """Utterances per split beside the paper's. counts: {found or official: {split: n}}."""
    columns = {
        **({"paper": table.paper[FOUND]} if study.get("show_paper", True) else {}),
        **{COUNTED.get(name, name): column for name, column in counts.items()},
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
    return Page(table.name, table.title, study["note"], [grid], notes=notes_of(table))


def estimate_text(estimate: Estimate, percent: bool) -> str:
    """0.6345 ± 0.0040 [0.6160, 0.6530]: the standard deviation over seeds and the interval, where
    there are any."""
    scale, digits = (100, 2) if percent else (1, 4)
    # rounded first, so that equal figures computed in two ways (weighted recall is accuracy) look
    # the same
    text = f"{round(estimate.value * scale, 9):.{digits}f}"
    if estimate.sd is not None:
        text += f" ± {estimate.sd * scale:.{digits}f}"
    if estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low * scale:.{digits}f}, {estimate.high * scale:.{digits}f}]"
    return text


def _estimates_grid(table: Table, rows: Sequence[Row]) -> Grid:
    headers = ["model"] if table.select else ["row", *table.columns.values()]
    # a study's own table has no figures of the paper to stand beside ours
    has_paper = bool(table.paper or table.published)
    if has_paper and len(table.metrics) > MOST_BESIDE:
        return _stacked_grid(table, rows)
    for header in table.metrics.values():
        headers += [f"{header}, paper", "ours"] if has_paper else [header]
    settings = [] if table.select else list(table.columns)
    body = []
    for model, printed in table.published.items():
        figures = [printed, NONE] + [NONE, NONE] * (len(table.metrics) - 1)
        body.append([model, *[NONE] * len(settings), *figures, NONE])
    for row in rows:
        line = [row.label, *(row.settings.get(name) or NONE for name in settings)]
        for metric in table.metrics:
            if has_paper:
                line.append(table.paper.get(row.key, {}).get(metric, NONE))
            line.append(_cell(table, row, metric))
        body.append([*line, str(row.n or NONE)])
    return Grid("", [*headers, "n"], body)


def _stacked_grid(table: Table, rows: Sequence[Row]) -> Grid:
    """The paper's figures in a row of their own below ours, where both beside each other would be
    too wide."""
    body: list[list[str]] = []
    for row in rows:
        settings = [row.settings.get(name) or NONE for name in table.columns]
        figures = [_cell(table, row, metric) for metric in table.metrics]
        body.append([row.label, *settings, *figures, str(row.n or NONE)])
        if printed := table.paper.get(row.key):
            theirs = [printed.get(metric, NONE) for metric in table.metrics]
            body.append([f"{row.label}, paper", *[""] * len(settings), *theirs, ""])
    return Grid("", ["row", *table.columns.values(), *table.metrics.values(), "n"], body)


def _cell(table: Table, row: Row, metric: str) -> str:
    if metric not in row.mean:
        return row.missing or NONE
    mark = MARK if seeds_differ(row, metric) else ""
    return estimate_text(row.mean[metric], table.percent) + mark


def _tests_grids(table: Table, tests: RowTests, rows: Sequence[Row]) -> list[Grid]:
    """Every row against the reference, one grid for each metric that is tested."""
    labels = {row.key: row.label for row in rows}
    best = ""
    if table.compare:
        extreme = "highest" if table.compare.best == "max" else "lowest"
        best = f", the row with the {extreme} {table.compare.metric}"
    absent = sum(1 for row in rows if row.missing)
    missing = f" ({absent} of {len(rows)} rows are not available)" if absent else ""
    headers = ["row", "difference", "simultaneous interval", "p", "Holm p"]
    return [
        Grid(
            f"{TESTED_AS[metric]}: differences from {tests.reference.label}{best}{missing}",
            headers,
            [_test_line(labels[key], test[metric]) for key, test in tests.of_rows.items()],
        )
        for metric in TESTED_AS
    ]


def _test_line(label: str, test: Difference) -> list[str]:
    return [
        label,
        f"{test.value:+.4f}{_signed(test.low, test.high)}",
        _signed(test.low_simultaneous, test.high_simultaneous).strip() or NONE,
        p_text(test.p, test.at_floor),
        p_text(test.p_holm, test.holm_at_floor),
    ]


def _signed(low: float, high: float) -> str:
    return "" if isnan(low) else f" [{low:+.4f}, {high:+.4f}]"


def p_text(p: float | None, at_floor: bool = False) -> str:
    """A p-value as printed. at_floor: it is the smallest that the resamples allow, so the true one
    may be smaller."""
    if p is None:
        return "too few units"
    if p < 1e-4:
        return "<0.0001"
    return f"≤{p:.4f}" if at_floor else f"{p:.4f}"

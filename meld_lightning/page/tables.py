"""The tables as data for the page: every figure with its interval, tests and footnotes.

Reads the results of report/results.py, writes nothing. Used by page/write.py; read by the page's
tables.js and compare.js.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any

from meld_lightning.page.glosses import row_gloss
from meld_lightning.page.study_report import StudyReport
from meld_lightning.page.words import probability
from meld_lightning.report.comparisons import TESTED, Difference
from meld_lightning.report.folds import unpooled
from meld_lightning.report.layout import TESTED_AS
from meld_lightning.report.page import Grid
from meld_lightning.report.remarks import ONE_SEED, seeds_differ
from meld_lightning.report.results import TableResults
from meld_lightning.report.rows import Row
from meld_lightning.study.spec import BASELINE, Table

DIGITS = 6
# what the page says beside the notes of the Markdown table
CONSTANT = (
    "The constant row has no seeds: its interval carries the variance of units alone, and may"
    " differ from that of a row with the same predictions for every seed."
)
ONE_DRAW = (
    "Nothing is trained. What is random, such as the initial weights of a fitted fusion, was drawn"
    " with one seed, so intervals and p-values do not cover another draw."
)
NUMBER = re.compile(r"^Note \d+\. ")


@dataclass(frozen=True)
class Cell:
    """An estimate. low, high: 95 % interval; sd: over seeds; doubtful: the seeds differ much."""

    value: float
    low: float | None
    high: float | None
    sd: float | None
    doubtful: bool


@dataclass(frozen=True)
class TestData:
    """A row's difference from the reference row.

    low, high: the interval that holds for all tests of the table at once.
    verdict: better, worse or same (no clear difference, at 5 % by Holm's p); "" with too few
        units for a test.
    """

    value: float
    low: float | None
    high: float | None
    p: str
    holm: str
    verdict: str


@dataclass(frozen=True)
class RowData:
    """A printed row. cells, paper: one per metric of the table. runs: hashes, in seed order.
    gloss: what it stands for, in words."""

    key: str
    label: str
    missing: str
    settings: list[str]
    cells: list[Cell | None]
    paper: list[str | None]
    n: int | None
    runs: list[str]
    modality: str
    baseline: bool
    gloss: str
    tests: dict[str, TestData] = field(default_factory=dict)


@dataclass(frozen=True)
class TableData:
    """A table or a figure of intervals.

    reference: key of the row that the others are tested against; "" without one.
    tested: metric -> header, of the tests.
    published: other authors' results, under the first metric.
    footnotes: places in the page's list of footnotes.
    grids: further grids of text, such as the scores of each class.
    """

    name: str
    title: str
    kind: str
    percent: bool
    split: str
    columns: list[str]
    metrics: dict[str, str]
    rows: list[RowData]
    reference: str = ""
    tested: dict[str, str] = field(default_factory=dict)
    published: dict[str, str] = field(default_factory=dict)
    verdicts: list[str] = field(default_factory=list)
    footnotes: list[int] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)


def tables_data(report: StudyReport) -> dict[str, Any]:
    """{tables: [TableData], footnotes: [text]}; a footnote that several tables have stands once."""
    footnotes: dict[str, int] = {}
    tables = [
        _table(report, one, footnotes) for one in report.results if one.rows or one.page is not None
    ]
    return {"tables": tables, "footnotes": list(footnotes)}


def rounded(value: float | None) -> float | None:
    """A figure with as many digits as the page can show; None for nan."""
    return None if value is None or math.isnan(value) else round(float(value), DIGITS)


def _table(report: StudyReport, one: TableResults, footnotes: dict[str, int]) -> TableData:
    table, page = one.table, one.page
    show_paper = bool(report.material.study.get("show_paper", True))
    numbers = [
        footnotes.setdefault(text, len(footnotes)) for text in _notes(report, one, show_paper)
    ]
    shared = (table.name, table.title, table.kind, table.percent)
    if page is not None and not one.rows:
        return TableData(*shared, "", [], {}, [], footnotes=sorted(numbers), grids=page.grids)
    # the first grids are the rows and the tests, which stand here as figures
    first = (1 if one.rows else 0) + (len(TESTED_AS) if one.tests else 0)
    return TableData(
        *shared,
        table.split,
        list(table.columns.values()),
        table.metrics,
        [_row(report, one, row, show_paper) for row in one.rows],
        reference=one.tests.reference.key if one.tests else "",
        tested=TESTED_AS if one.tests else {},
        published=table.published if show_paper else {},
        verdicts=page.verdicts if page else [],
        footnotes=sorted(numbers),
        grids=page.grids[first:] if page else [],
    )


def _notes(report: StudyReport, one: TableResults, show_paper: bool) -> list[str]:
    """The notes below a table; those on the paper only where its figures are shown."""
    if one.page is None:
        return []
    remarks = list(one.page.remarks)
    if len(report.material.seeds) > 1 and any(row.key == BASELINE for row in one.rows):
        remarks.append(CONSTANT)
    if not _trained(report):
        remarks = [text.replace(ONE_SEED, ONE_DRAW) for text in remarks]
    # the page numbers its notes itself
    return remarks + [NUMBER.sub("", text) for text in (one.page.notes if show_paper else ())]


def _trained(report: StudyReport) -> bool:
    """Whether any run took a step of training, unlike imported, pretrained and fused ones."""
    runs = (part for run in report.row_runs() for part in unpooled(run))
    return any(run.result.best.get("step") for run in runs)


def _row(report: StudyReport, one: TableResults, row: Row, show_paper: bool) -> RowData:
    table = one.table
    printed = table.paper.get(row.key, {}) if show_paper else {}
    tests = one.tests.of_rows.get(row.key, {}) if one.tests else {}
    return RowData(
        row.key,
        row.label,
        row.missing,
        [row.settings.get(name, "") for name in table.columns],
        [_cell(row, metric) for metric in table.metrics],
        [printed.get(metric) for metric in table.metrics],
        row.n,
        [run.result.hash for run in row.runs],
        row.runs[0].result.modality if row.runs else "",
        row.key == BASELINE,
        row_gloss(row, report.material.tables[one.table.source]),
        {metric: tested(found) for metric, found in tests.items()},
    )


def _cell(row: Row, metric: str) -> Cell | None:
    found = row.mean.get(metric)
    if found is None:
        return None
    figures = (found.value, found.low, found.high, found.sd)
    value, low, high, sd = map(rounded, figures)
    assert value is not None
    return Cell(value, low, high, sd, seeds_differ(row, metric))


def tested(found: Difference) -> TestData:
    """A difference with its verdict."""
    return TestData(
        round(found.value, DIGITS),
        rounded(found.low_simultaneous),
        rounded(found.high_simultaneous),
        probability(found.p, found.at_floor),
        probability(found.p_holm, found.holm_at_floor),
        verdict(found),
    )


def verdict(found: Difference, alpha: float = 0.05) -> str:
    """Better, worse or same, by Holm's p; "" with too few units for a test."""
    if found.p_holm is None:
        return ""
    if found.p_holm >= alpha:
        return "same"
    return "better" if found.value > 0 else "worse"


def reversed_test(found: Difference) -> Difference:
    """The reference row's difference from the row that was tested against it."""
    return replace(
        found,
        value=-found.value,
        low=-found.high,
        high=-found.low,
        low_simultaneous=-found.high_simultaneous,
        high_simultaneous=-found.low_simultaneous,
    )


def tested_metric(table: Table) -> str:
    """The metric that a table's claim is about: weighted F1 if the table has it."""
    wanted = [metric for name in TESTED for metric in table.metrics if metric.endswith(f"/{name}")]
    return (wanted or list(table.metrics))[0]

"""What the page's figures show, row by row: classes, reliability, groups of utterances, fusions and
settings.

Computes with report/; writes nothing. Used by page/write.py; read by the page's figures.js. What
the evidence at hand cannot show is named, with what would fill it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from meld_lightning.page.fusions import complements, surfaces
from meld_lightning.page.groupings import groupings_data
from meld_lightning.page.main_row import main_row
from meld_lightning.page.rows import DIGITS, FigureRow, Score, figure_rows, score
from meld_lightning.page.study_report import StudyReport
from meld_lightning.page.tuning import tunings
from meld_lightning.report.classes import class_estimates
from meld_lightning.report.missing import SHARES, Robustness
from meld_lightning.report.reliability import reliability
from meld_lightning.report.results import TableResults


@dataclass(frozen=True)
class ReliabilityData:
    """The filled bins of confidence, and the expected calibration error."""

    confidence: list[float]
    accuracy: list[float]
    count: list[int]
    error: float


@dataclass(frozen=True)
class RowFigures:
    """A row. runs: hashes, one per seed. support, f1, precision and recall have a value for each
    label; support is its number of utterances."""

    table: str
    title: str
    row: str
    modality: str
    runs: list[str]
    labels: list[str]
    support: list[int]
    n: int
    f1: list[Score]
    precision: list[Score]
    recall: list[Score]
    reliability: ReliabilityData


def figures_data(report: StudyReport) -> dict[str, Any]:
    """{rows, main, groupings, surfaces, complements, tunings, robustness}; main: the place of the
    row that is shown first."""
    rows = figure_rows(report)
    return {
        "rows": [_row(report, row) for row in rows],
        "main": _main(report, rows),
        "groupings": groupings_data(report, rows),
        "surfaces": surfaces(report, rows),
        "complements": complements(report, rows),
        "tunings": tunings(rows),
        "robustness": [_robustness(one) for one in report.results if one.curves],
    }


@dataclass(frozen=True)
class CurveData:
    """A fusion's score at each share of missing modalities.

    modality: the one that it reads; `fusion` for several, "" for the constant baseline.
    """

    label: str
    modality: str
    scores: list[Score]


@dataclass(frozen=True)
class RobustnessData:
    """A table of kind missing. shares: of the modalities of test that are missing at random."""

    table: str
    title: str
    metric: str
    shares: list[float]
    curves: list[CurveData]


def _robustness(one: TableResults) -> RobustnessData:
    table = one.table
    curves = [
        CurveData(found.label, _read_by(found), [score(estimate) for estimate in found.by_share])
        for found in one.curves
    ]
    metric = next(iter(table.metrics.values()))
    return RobustnessData(table.name, table.title, metric, list(SHARES), curves)


def _read_by(found: Robustness) -> str:
    subsets = list(found.by_subset)
    return "" if not subsets else subsets[0] if len(subsets) == 1 else "fusion"


def _main(report: StudyReport, rows: list[FigureRow]) -> int:
    """The place of the study's main row; the first if it is not among the rows."""
    found = main_row(report)
    if found is None:
        return 0
    name = (found.of_table.table.source, found.row.declared)
    return next((place for place, row in enumerate(rows) if row.key == name), 0)


def _row(report: StudyReport, row: FigureRow) -> RowFigures:
    table, key = row.key
    first = row.scored[0]
    classes = class_estimates(row.scored)
    bins = reliability(row.runs)
    filled = bins.count_B > 0
    return RowFigures(
        table,
        report.material.tables[table].title,
        key,
        row.modality,
        [run.result.hash for run in row.runs],
        list(first.labels),
        np.bincount(first.true, minlength=len(first.labels)).tolist(),
        len(first.keys),
        [score(one) for one in classes["f1"]],
        [score(one) for one in classes["precision"]],
        [score(one) for one in classes["recall"]],
        ReliabilityData(
            bins.confidence_B[filled].round(DIGITS).tolist(),
            bins.accuracy_B[filled].round(DIGITS).tolist(),
            bins.count_B[filled].tolist(),
            round(bins.error, DIGITS),
        ),
    )

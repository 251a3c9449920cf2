"""The complete rows of a study, with the predictions of their runs on test.

Reads the report's results and runs; writes nothing. Used by the parts of the page that draw
figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meld_lightning.page.study_report import StudyReport
from meld_lightning.report.rows import Estimate
from meld_lightning.report.scored import Scored, scored
from meld_lightning.study.sources import FinishedRun
from meld_lightning.study.spec import RowKey

SPLIT = "test"
DIGITS = 4  # decimal places in figures


@dataclass(frozen=True)
class FigureRow:
    """A row with a run for every seed, and what these predict, in the same order."""

    key: RowKey
    runs: Sequence[FinishedRun]
    scored: tuple[Scored, ...]

    @property
    def modality(self) -> str:
        """That of its runs; `fusion` for a fusion."""
        return self.runs[0].result.modality


@dataclass(frozen=True)
class Score:
    """An estimate as figures show it."""

    value: float
    low: float | None
    high: float | None


def figure_rows(report: StudyReport) -> list[FigureRow]:
    """The rows that have a run for every seed."""
    known = {
        (one.table.source, row.declared): row.scored
        for one in report.results
        if one.rows and one.table.split == SPLIT
        for row in one.rows
        if row.runs and row.scored
    }
    tables, seeds = report.material.tables, report.material.seeds
    return [
        FigureRow(key, runs, known.get(key) or tuple(scored(run, SPLIT) for run in runs))
        for key, runs in report.rows().items()
        if len(runs) == len(tables[key[0]].seeds(seeds))
    ]


def score(found: Estimate) -> Score:
    """The estimate, rounded."""
    low, high = (None if end is None else round(end, DIGITS) for end in (found.low, found.high))
    return Score(round(found.value, DIGITS), low, high)

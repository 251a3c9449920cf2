"""The row that a study is mostly about: the page opens with it.

Reads the results of report/results.py; writes nothing. Used by page/answers.py and page/figures.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from meld_lightning.page.rows import SPLIT
from meld_lightning.page.study_report import StudyReport
from meld_lightning.report.results import TableResults
from meld_lightning.report.rows import Row
from meld_lightning.study.kinds import INTERVALS
from meld_lightning.study.spec import BASELINE


@dataclass(frozen=True)
class MainRow:
    """A complete row, the table that it stands in, and the modalities that it fuses.

    alone: modality -> hash of the run that stands for it alone, for the first seed; empty for a row
        that does not fuse several.
    """

    of_table: TableResults
    row: Row
    alone: dict[str, str]

    @property
    def id(self) -> str:
        """How the page's addresses name the row."""
        return f"{self.of_table.table.name}/{self.row.key}"


def main_row(report: StudyReport) -> MainRow | None:
    """The reference row of the first table whose reference is a fusion; else that of the first
    table with tests; else the first complete row. None where no row is complete."""
    tables = [
        one
        for one in report.results
        if one.table.kind != INTERVALS and one.rows and one.table.split == SPLIT
    ]
    tested = [
        (one, one.tests.reference)
        for one in tables
        if one.tests is not None and one.tests.reference.scored
    ]
    complete = [
        (one, row) for one in tables for row in one.rows if row.scored and row.key != BASELINE
    ]
    found = [MainRow(one, row, alone_of(report, row)) for one, row in tested or complete[:1]]
    return max(found, key=lambda one: len(one.alone) > 1, default=None)  # the first among equals


def alone_of(report: StudyReport, row: Row) -> dict[str, str]:
    """Modality -> hash of the run that stands for it alone, for the row's first seed; empty for a
    row that does not fuse several."""
    return report.alone.get(row.runs[0].result.hash, {}) if row.runs else {}

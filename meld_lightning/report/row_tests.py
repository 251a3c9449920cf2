"""A table's rows tested against its reference row.

Reads rows, writes nothing. Used by report/results.py; report/layout.py prints what is found here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meld_lightning.report.comparisons import Difference, comparisons
from meld_lightning.report.rows import Row
from meld_lightning.study.sources import best_place
from meld_lightning.study.spec import BASELINE, Table


@dataclass(frozen=True)
class RowTests:
    """The differences of a table's complete rows from its reference row.

    of_rows: row key -> metric (see comparisons.TESTED) -> the row's value minus the reference's.
    """

    reference: Row
    of_rows: dict[str, dict[str, Difference]]


def tested_rows(table: Table, rows: Sequence[Row]) -> RowTests | None:
    """Every other row tested against the row named by `against`, or the best on val by `compare`;
    None if the table declares neither, or if the reference row lacks a run."""
    complete = [row for row in rows if row.scored]
    reference = _reference(table, complete)
    if reference is None:
        return None
    others = [row for row in complete if row is not reference]
    found = comparisons(
        [row.scored for row in others], reference.scored, paired=bool(table.sources)
    )
    return RowTests(reference, {row.key: one for row, one in zip(others, found, strict=True)})


def _reference(table: Table, complete: Sequence[Row]) -> Row | None:
    models = [row for row in complete if row.key != BASELINE]
    if table.against:
        return next((row for row in models if row.key == table.against), None)
    if table.compare and models:
        return models[best_place(table.compare, [row.runs for row in models])]
    return None

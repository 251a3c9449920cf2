"""results.csv of a table: one line per row, seed and metric.

Reads rows and the corpus report's counts; returns text. Used by report/render.py.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meld_lightning.report.rows import Estimate, Row, Runs
from meld_lightning.study.kinds import FOUND
from meld_lightning.study.sources import FinishedRun, stored
from meld_lightning.study.spec import Table

COLUMNS = ("row", "seed", "fold", "split", "metric", "value", "low", "high", "n", "run", "commit")

Record = dict[str, Any]


def csv_text(records: Iterable[Record], columns: Sequence[str] = COLUMNS) -> str:
    """The records as CSV; a column that a record lacks is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def table_records(table: Table, rows: Sequence[Row], runs: Runs) -> list[Record]:
    """The val metric of every candidate, if the table selects a row by it; then, for each row, one
    record per seed and metric, and one with an empty seed for the mean over all seeds."""
    return [*_candidates(table, runs), *(record for row in rows for record in _of_row(row))]


def corpus_records(counts: Mapping[str, Mapping[str, int]]) -> list[Record]:
    """The utterances of each split. counts: {found or official: {split: n}}."""
    return [
        {"row": FOUND, "split": split, "metric": "utterances", "value": value, "n": value}
        for split, value in counts[FOUND].items()
    ]


def _of_row(row: Row) -> list[Record]:
    records = [
        _run_record(row.declared, run, metric, estimate)
        for run, estimates in zip(row.runs, row.by_seed, strict=True)
        for metric, estimate in estimates.items()
    ]
    for metric, estimate in row.mean.items():
        if row.runs:
            mean = _run_record(row.declared, row.runs[0], metric, estimate)
            records.append({**mean, "run": "", "commit": "", "seed": ""})
        else:
            records.append({**_record(row.declared, metric, estimate), "n": row.n})
    return records


def _candidates(table: Table, runs: Runs) -> list[Record]:
    if table.select is None:
        return []
    metric = table.select.metric
    return [
        _run_record(row, run, metric, Estimate(stored(run, metric)))
        for row in table.rows
        for run in runs.get((table.source, row), ())
    ]


def _run_record(row: str, run: FinishedRun, metric: str, estimate: Estimate) -> Record:
    result = run.result
    return {
        **_record(row, metric, estimate),
        "seed": result.seed,
        "fold": result.fold,
        "n": result.metrics[metric.split("/")[0]]["n"],
        "run": result.hash,
        "commit": (result.commit or "") + ("-dirty" if result.dirty else ""),
    }


def _record(row: str, metric: str, estimate: Estimate) -> Record:
    split, name = metric.split("/")
    return {
        "row": row,
        "split": split,
        "metric": name,
        "value": _number(estimate.value),
        "low": _number(estimate.low),
        "high": _number(estimate.high),
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"

"""Kinds of tables (runs, corpus, figures) and the checks that a complete spec must pass.

Reads and writes nothing. `read_tables` is the entry point: study/plan.py and report/ call it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from meld_lightning.errors import UserError, near_miss
from meld_lightning.study.spec import (
    CHOSEN,
    Table,
    has_interval,
    parse_table,
    plain_spec,
    spec_error,
)

INTERVALS = "intervals"
MISSING = "missing"
AUDIT = "audit"
OF_ONE_RUN = ("frames", "diagram")
FIGURES_OF_SOURCES = ("confusion", *OF_ONE_RUN)
FOUND = "found"  # the one row of a table of kind corpus: the utterances of each split
SPLITS = ("train", "val", "test")


def read_tables(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Table]:
    """Parses and checks every spec of the `table` node; UserError names the table and key at
    fault."""
    plain = {name: plain_spec(name, spec) for name, spec in tables.items()}
    read = {}
    for name in plain:
        read[name] = parse_table(name, plain)
        _check(read[name])
    for table in read.values():
        _check_sources(table, read)
    for table in read.values():
        _check_circle(table, read, ())
    return read


def named_table(tables: Mapping[str, Table], name: str) -> Table:
    """The table of that name; UserError with the nearest name if there is none."""
    if name not in tables:
        raise UserError(f"no table '{name}'{near_miss(name, tables)}; tables: {', '.join(tables)}")
    return tables[name]


def _check(table: Table) -> None:
    if len(set(table.folds)) < len(table.folds):
        raise spec_error(table.name, "folds", f"is {list(table.folds)}, which names a fold twice")
    if table.folds and table.kind in OF_ONE_RUN:
        raise spec_error(table.name, "folds", f"is given, but a figure of {table.kind} is of a run")
    if table.against is not None and table.against not in table.rows:
        raise spec_error(
            table.name,
            "against",
            f"is {table.against!r}, which is no row{near_miss(table.against, table.rows)}",
        )
    if table.kind in ("runs", INTERVALS, MISSING):
        _check_runs(table)
    elif table.kind == "corpus":
        _check_corpus(table)
    elif table.kind == AUDIT:
        _check_audit(table)
    if table.kind in (*FIGURES_OF_SOURCES, MISSING) and not table.sources:
        raise spec_error(table.name, "sources", "is missing: it says whose runs the figure shows")


def _check_runs(table: Table) -> None:
    for metric in table.metrics:
        if metric.count("/") != 1:
            raise spec_error(table.name, f"metrics.{metric}", "is no metric, such as test/accuracy")
    splits = {metric.split("/")[0] for metric in table.metrics if has_interval(metric)}
    if len(splits) != 1:
        raise spec_error(
            table.name,
            "metrics",
            f"score {sorted(splits)}, expected <split>/<name> of either val or test",
        )
    if table.percent and (table.compare or table.against):
        raise spec_error(
            table.name,
            "percent",
            "is true beside compare or against, whose differences are printed as fractions: leave"
            " one of them out",
        )
    _check_paper(table, {CHOSEN} if table.select else set(table.rows), table.metrics)


def _check_audit(table: Table) -> None:
    metrics = list(table.metrics)
    if len(metrics) != 1 or metrics[0].count("/") != 1 or not has_interval(metrics[0]):
        raise spec_error(
            table.name, "metrics", f"is {metrics}, expected one <split>/<name> of val or test"
        )
    if not table.by and not table.speakers:
        raise spec_error(table.name, "by", "is missing: it names the groupings of an audit")
    if not table.sources:
        raise spec_error(table.name, "sources", "is missing: it says whose runs are audited")


def _check_corpus(table: Table) -> None:
    _check_paper(table, {FOUND}, SPLITS)
    if FOUND not in table.paper:
        raise spec_error(
            table.name, "paper", f"has no '{FOUND}', expected the paper's counts by split under it"
        )


def _check_paper(table: Table, rows: Collection[str], metrics: Collection[str]) -> None:
    for row, numbers in table.paper.items():
        if row not in rows:
            raise spec_error(
                table.name, f"paper.{row}", f"is no row of this table{near_miss(row, rows)}"
            )
        for metric in numbers:
            if metric not in metrics:
                raise spec_error(table.name, f"paper.{row}.{metric}", "is no metric of this table")


def _check_sources(table: Table, tables: Mapping[str, Table]) -> None:
    for key, source in table.sources.items():
        at = f"sources.{key}"
        for name in source.tables:
            if name not in tables:
                raise spec_error(
                    table.name, at, f"names {name!r}, which is no table{near_miss(name, tables)}"
                )
            # an audit pools them
            if tables[name].folds != table.folds and table.kind != AUDIT:
                theirs, ours = (list(one.folds) or "none" for one in (tables[name], table))
                raise spec_error(
                    table.name,
                    at,
                    f"names {name}, whose folds are {theirs}; here they are {ours}: give both the"
                    " same",
                )
        first = tables[source.tables[0]]
        if source.row is not None and source.row not in first.rows:
            nearest = near_miss(source.row, first.rows)
            raise spec_error(
                table.name, at, f"names {source.row!r}, which is no row of {first.name}{nearest}"
            )


def _check_circle(table: Table, tables: Mapping[str, Table], above: tuple[str, ...]) -> None:
    """UserError where a table's sources are rows of a table that rests on it.

    above: the tables that rest on this one, each on the next.
    """
    above = (*above, table.name)
    for source in table.sources.values():
        for owner in dict.fromkeys(owner for owner, _ in source.candidates(tables)):
            if owner in above:
                through = ", ".join(above[above.index(owner) + 1 :])
                what = f"rests on itself{f' through {through}' if through else ''}"
                raise spec_error(owner, "sources", f"{what}: name rows of other tables")
            _check_circle(tables[owner], tables, above)

"""What a report computes of each table, before it is written in any format.

Reads run objects and the corpus report; writes nothing. Used by report/render.py, which writes
Markdown, LaTeX and CSV, and by the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.report.audit import Audit
from meld_lightning.report.audit_page import audit_page, split_page
from meld_lightning.report.groupings import Grouping
from meld_lightning.report.layout import corpus_page, runs_page
from meld_lightning.report.missing import (
    Robustness,
    missing_grids,
    missing_remark,
    robustness,
)
from meld_lightning.report.notes import check_notes
from meld_lightning.report.page import Page
from meld_lightning.report.row_tests import RowTests, tested_rows
from meld_lightning.report.rows import Row, Runs, table_rows
from meld_lightning.report.study_audit import FindGroupings, table_audit
from meld_lightning.study.kinds import AUDIT, FOUND, INTERVALS, MISSING, SPLITS, named_table
from meld_lightning.study.sources import FinishedRun
from meld_lightning.study.spec import Table

FindClips = Callable[[FinishedRun], list[dict[str, Any]]]


def no_groupings(run: FinishedRun, *_: Any) -> list[Grouping]:
    """Stands for a corpus that is not there."""
    raise NotPrepared(f"{run.folder}: the corpus is not known here")


@dataclass(frozen=True)
class Material:
    """What a report is rendered from.

    runs: the available runs of each (table, row).
    seeds: the seeds that every row should have; a row that lacks one shows as missing.
    study: name, title, note, tables and compare_to_paper (whether figures are called above or below
        the paper's).
    corpus_report: Corpus.report; None without the corpus and without evidence of it.
    find_clips: from a run to the clips for a figure of frames; None if there are none to show.
    find_groupings: from a run, names of groupings, declared ones and a split to the groupings of
        its utterances; raises NotPrepared where the corpus or the votes are not there.
    kept_audits: table -> its audit as kept as evidence.
    """

    tables: Mapping[str, Table]
    runs: Runs
    seeds: Sequence[int]
    study: Mapping[str, Any]
    corpus_report: Mapping[str, Any] | None = None
    find_clips: FindClips | None = None
    find_groupings: FindGroupings = no_groupings
    kept_audits: Mapping[str, Audit] = field(default_factory=dict)


@dataclass(frozen=True)
class TableResults:
    """One table or figure.

    rows: those of a table of runs or a figure of intervals; empty for other kinds.
    tests: the rows against the reference row; None without one.
    counts: {official, found: {split: utterances}} of a table of kind corpus.
    page: the printed table; None for a figure.
    curves: of a table of kind missing.
    audit: the figures of a table of kind audit; None for other kinds, and where they are not known.
    """

    table: Table
    rows: tuple[Row, ...] = ()
    tests: RowTests | None = None
    counts: dict[str, Mapping[str, int]] = field(default_factory=dict)
    page: Page | None = None
    curves: tuple[Robustness, ...] = ()
    audit: Audit | None = None


def study_results(material: Material, selected: Iterable[str]) -> list[TableResults]:
    """The results of the selected tables, in that order.

    Raises UserError for a table that does not exist and for runs that cannot stand in one table.
    """
    if not material.seeds:
        raise UserError("study.seeds is empty: name at least one seed")
    check_notes(material.tables)
    return [_table_results(material, named_table(material.tables, name)) for name in selected]


def _table_results(material: Material, table: Table) -> TableResults:
    report, study = material.corpus_report, material.study
    if table.kind == "corpus":
        counts = _corpus_counts(table.name, report)
        return TableResults(table, counts=counts, page=corpus_page(table, counts, study))
    if table.kind == MISSING:
        return _missing_results(material, table)
    if table.kind == AUDIT:
        found = table_audit(
            *(table, material.tables, material.runs, material.seeds),
            *(material.find_groupings, material.kept_audits.get(table.name)),
        )
        return TableResults(table, page=audit_page(table, found, study), audit=found)
    if table.kind not in ("runs", INTERVALS):
        return TableResults(table)
    owner = material.tables[table.source]
    seeds = owner.seeds(material.seeds)
    rows = table_rows(table, owner, material.runs, seeds)
    if table.kind == INTERVALS:
        return TableResults(table, tuple(rows))
    tests = tested_rows(table, rows)
    page = runs_page(table, rows, tests, seeds, study, (report or {}).get("optimum"))
    return TableResults(table, tuple(rows), tests, page=_split(material, table, rows, page))


def _split(material: Material, table: Table, rows: Sequence[Row], page: Page) -> Page:
    """The page with further grids by study.split_by, or a remark that the groups are not known."""
    names = material.study.get("split_by")
    run = next((row.runs[0] for row in rows if row.runs), None)
    if not names or run is None:
        return page
    try:
        groupings = material.find_groupings(run, names, {}, table.split)
    except NotPrepared as error:
        return replace(page, remarks=[*page.remarks, f"Not split by {', '.join(names)}: {error}."])
    return split_page(page, table, rows, groupings)


def _missing_results(material: Material, table: Table) -> TableResults:
    """The curves of all rows; only the rows if one of them lacks its runs."""
    rows = table_rows(table, material.tables[table.source], material.runs, material.seeds)
    if any(row.missing for row in rows):
        return TableResults(table, tuple(rows))
    found = robustness(table, material.tables, rows, material.runs, material.seeds)
    grids, remarks = missing_grids(table, found), [missing_remark(found)]
    page = Page(table.name, table.title, material.study["note"], grids, remarks)
    return TableResults(table, page=page, curves=tuple(found))


def _corpus_counts(name: str, report: Mapping[str, Any] | None) -> dict[str, Mapping[str, int]]:
    """{official, found: {split: utterances}} in the order of SPLITS; official is MELD's alone."""
    if report is None:
        return {FOUND: {}}
    counts = {key: report[name].get(key) for key in ("official", FOUND)}
    return {
        key: {split: column[split] for split in SPLITS if split in column}
        for key, column in counts.items()
        if column is not None
    }

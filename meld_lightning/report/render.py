"""Renders a study's tables and figures; the same runs give the same bytes.

Reads run objects and the corpus report. Writes <out>/<table>/{table.md, table.tex, results.csv},
<out>/<figure>/{table.md, results.csv, figure.png, figure.svg} and <out>/README.md. Used by
`reproduce` and `report`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from meld_lightning.config.tree import plain
from meld_lightning.corpus import prepared_corpus
from meld_lightning.errors import NotPrepared
from meld_lightning.report.audit_page import COLUMNS as AUDIT_COLUMNS
from meld_lightning.report.audit_page import audit_records
from meld_lightning.report.breakdowns import fusion_details
from meld_lightning.report.clips import frame_strip
from meld_lightning.report.figures import (
    COLUMNS,
    Lines,
    draw_confusions,
    draw_diagram,
    draw_frames,
)
from meld_lightning.report.folds import pooled
from meld_lightning.report.groupings import groupings_of
from meld_lightning.report.interval_figure import draw_intervals
from meld_lightning.report.latex import page_latex
from meld_lightning.report.markdown import (
    figure_markdown,
    page_markdown,
    picture,
    readme_markdown,
)
from meld_lightning.report.missing import COLUMNS as MISSING_COLUMNS
from meld_lightning.report.missing import missing_records
from meld_lightning.report.missing_figure import draw_missing
from meld_lightning.report.records import corpus_records, csv_text, table_records
from meld_lightning.report.results import Material, TableResults, study_results
from meld_lightning.report.rows import Runs
from meld_lightning.report.study_audit import keep_audits, kept_audits
from meld_lightning.storage.atomic import write_text, writing
from meld_lightning.study.evidence import study_folder, study_note
from meld_lightning.study.kinds import AUDIT, INTERVALS, MISSING, read_tables
from meld_lightning.study.plan import PlannedRun
from meld_lightning.study.sources import FinishedRun, source_runs
from meld_lightning.study.spec import RowKey, Table

logger = logging.getLogger(__name__)


def render_study(
    cfg: DictConfig,
    runs: Runs,
    planned: Mapping[RowKey, Sequence[PlannedRun]],
) -> tuple[Material, list[TableResults]]:
    """Writes the chosen tables and figures below experiments/<study>/; returns what they were
    written from. planned: what the runs were made from."""
    # the configs of a row's runs differ in seed and fold only, and neither changes a frame
    configs = {
        run.result.hash: of_row[0].config
        for row, of_row in planned.items()
        for run in runs.get(row, ())
    }
    tables, folder = read_tables(plain(cfg.table)), study_folder(cfg)
    material = Material(
        tables,
        {row: pooled(found, tables[row[0]].folds) for row, found in runs.items()},
        cfg.study.seeds,
        {**plain(cfg.study), "note": study_note(cfg)},
        _corpus_report(cfg, folder / "corpus.json"),
        lambda run: frame_strip(configs[run.result.hash], run),
        partial(groupings_of, cfg),
        kept_audits(folder),
    )
    results = study_results(material, cfg.tables)
    with writing(folder):
        written = render_tables(material, results, folder)
    logger.info("tables: %s", written[-1])
    return material, results


def render_tables(material: Material, results: Sequence[TableResults], out: Path) -> list[Path]:
    """Writes tables and figures into `out` and returns the files written, README.md last."""
    written = []
    for one in results:
        render = RENDERERS.get(one.table.kind, _render_figure)
        written += render(material, one, out / one.table.name)
    if audits := {one.table.name: one.audit for one in results if one.audit is not None}:
        keep_audits(out, audits)
    return [*written, _write(out / "README.md", readme_markdown(out, material.study))]


def _corpus_report(cfg: DictConfig, evidence: Path) -> dict[str, Any] | None:
    """The prepared corpus's report, else the evidence of it."""
    try:
        report: dict[str, Any] = prepared_corpus(cfg.corpus, Path(cfg.paths.cache)).report
    except NotPrepared:
        if not evidence.is_file():
            return None
        report = json.loads(evidence.read_text())
    # the optimum is known for emotions alone
    return report if cfg.target == "emotion" else {**report, "optimum": None}


def _render_table(material: Material, one: TableResults, folder: Path) -> list[Path]:
    assert one.page is not None
    if one.table.kind == "corpus":
        records = csv_text(corpus_records(one.counts))
    elif one.table.kind == AUDIT:
        records = csv_text(audit_records(one.audit) if one.audit else [], AUDIT_COLUMNS)
    else:
        records = csv_text(table_records(one.table, one.rows, material.runs))
    return [
        _write(folder / "table.md", page_markdown(one.page)),
        _write(folder / "table.tex", page_latex(one.page)),
        _write(folder / "results.csv", records),
    ]


def _render_figure(material: Material, one: TableResults, folder: Path) -> list[Path]:
    """Draws the figure, or says in its place what is missing."""
    table = one.table
    found = {
        name: list(source_runs(source, material.tables, material.runs, material.seeds).values())
        for name, source in table.sources.items()
    }
    absent = [name for name, runs in found.items() if not runs]
    clips: list[dict[str, Any]] = []
    if table.kind == "frames" and not absent:
        run = next(iter(found.values()))[0]
        clips = material.find_clips(run) if material.find_clips else []
        if not clips and (folder / "table.md").is_file():
            return [folder / "table.md"]  # keeps a figure that was drawn where the clips are
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("figure.*"):
        stale.unlink()
    missing, lines = "", []
    if absent:
        missing = f"no runs yet for {', '.join(absent)}"
    elif table.kind == "frames" and not clips:
        missing = "the clips are not decoded here; run `prepare` first"
    else:
        lines = _draw(material, table, found, clips, folder / "figure")
    columns = COLUMNS[table.kind]
    records = [dict(zip(columns, line, strict=True)) for line in lines]
    text = figure_markdown(table.title, material.study["note"], folder.name, missing)
    return [
        _write(folder / "table.md", text),
        _write(folder / "results.csv", csv_text(records, columns)),
        *sorted(folder.glob("figure.*")),
    ]


def _render_intervals(material: Material, one: TableResults, folder: Path) -> list[Path]:
    """Draws the table's rows, or says in the figure's place which of them have no runs."""
    table, rows = one.table, one.rows
    for stale in folder.glob("figure.*"):
        stale.unlink()
    absent = [row.label for row in rows if row.missing]
    missing = f"no runs yet for {', '.join(absent)}" if absent else ""
    if not missing:
        draw_intervals(table, rows, folder / "figure")
    text = figure_markdown(table.title, material.study["note"], folder.name, missing)
    return [
        _write(folder / "table.md", text),
        _write(folder / "results.csv", csv_text(table_records(table, rows, material.runs))),
        *sorted(folder.glob("figure.*")),
    ]


def _render_missing(material: Material, one: TableResults, folder: Path) -> list[Path]:
    """Draws the curves, or says in their place which rows have no runs."""
    for stale in folder.glob("figure.*"):
        stale.unlink()
    title = one.table.title
    if one.page is not None:
        draw_missing(one.table, one.curves, folder / "figure")
        text = f"{page_markdown(one.page)}\n{picture(title, folder.name)}\n"
    else:
        absent = ", ".join(row.label for row in one.rows if row.missing)
        note = material.study["note"]
        text = figure_markdown(title, note, folder.name, f"no runs yet for {absent}")
    records = missing_records(one.table, one.curves)
    return [
        _write(folder / "table.md", text),
        _write(folder / "results.csv", csv_text(records, MISSING_COLUMNS)),
        *sorted(folder.glob("figure.*")),
    ]


def _draw(
    material: Material,
    table: Table,
    found: Mapping[str, Sequence[FinishedRun]],
    clips: Sequence[dict[str, Any]],
    path: Path,
) -> Lines:
    first = next(iter(found.values()))[0]
    if table.kind == "confusion":
        return draw_confusions(found, path)
    if table.kind == "diagram":
        return draw_diagram(first, _fused_models(material, table, first), path)
    return draw_frames(clips, first.result.labels, path)


def _fused_models(material: Material, table: Table, fusion: FinishedRun) -> dict[str, str]:
    """modality -> the model behind it, of the table whose fusion the figure shows."""
    (source,) = table.sources.values()
    runs = {
        modality: source_runs(one, material.tables, material.runs, material.seeds)
        for modality, one in material.tables[source.tables[0]].sources.items()
    }
    return {
        modality: runs[modality][fusion.result.seed].result.model
        for modality in fusion_details(fusion)["modalities"]
    }


RENDERERS = {
    "runs": _render_table,
    "corpus": _render_table,
    AUDIT: _render_table,
    INTERVALS: _render_intervals,
    MISSING: _render_missing,
}


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path

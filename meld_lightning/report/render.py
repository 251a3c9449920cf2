"""Renders a study's tables and figures; the same runs give the same bytes.

Reads run objects and the corpus report. Writes <out>/<table>/{table.md, table.tex, results.csv},
<out>/<figure>/{table.md, results.csv, figure.png, figure.svg} and <out>/README.md. Used by
`reproduce` and `report`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from meld_lightning.config.tree import plain
from meld_lightning.corpus import prepared_corpus
from meld_lightning.errors import NotPrepared, UserError
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
from meld_lightning.report.interval_figure import draw_intervals
from meld_lightning.report.latex import page_latex
from meld_lightning.report.layout import corpus_page, runs_page
from meld_lightning.report.markdown import figure_markdown, page_markdown, readme_markdown
from meld_lightning.report.notes import check_notes
from meld_lightning.report.records import corpus_records, csv_text, table_records
from meld_lightning.report.rows import Runs, table_rows
from meld_lightning.storage.atomic import writing
from meld_lightning.study.evidence import study_folder
from meld_lightning.study.kinds import (
    FIGURES,
    FOUND,
    INTERVALS,
    SPLITS,
    named_table,
    read_tables,
)
from meld_lightning.study.plan import PlannedRun
from meld_lightning.study.sources import FinishedRun, source_runs
from meld_lightning.study.spec import RowKey, Table

logger = logging.getLogger(__name__)

FindClips = Callable[[FinishedRun], list[dict[str, Any]]]


@dataclass(frozen=True)
class Material:
    """What a report is rendered from.

    runs: the available runs of each (table, row).
    seeds: the seeds that every row should have; a row that lacks one shows as missing.
    study: name, title, note, tables and compare_to_paper (whether figures are called above or below
        the paper's).
    corpus_report: Corpus.report; None without the corpus and without evidence of it.
    find_clips: from a run to the clips for a figure of frames; None if there are none to show.
    """

    tables: Mapping[str, Table]
    runs: Runs
    seeds: Sequence[int]
    study: Mapping[str, Any]
    corpus_report: Mapping[str, Any] | None = None
    find_clips: FindClips | None = None


def render_study(
    cfg: DictConfig,
    runs: Runs,
    planned: Mapping[RowKey, Sequence[PlannedRun]],
) -> None:
    """Writes the chosen tables and figures below experiments/<study>/. planned: what the runs were
    made from."""
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
        plain(cfg.study),
        _corpus_report(cfg, folder / "corpus.json"),
        lambda run: frame_strip(configs[run.result.hash], run),
    )
    with writing(folder):
        written = render_tables(material, cfg.tables, folder)
    logger.info("tables: %s", written[-1])


def render_tables(material: Material, selected: Iterable[str], out: Path) -> list[Path]:
    """Renders the selected tables into `out` and returns the files written, README.md last.

    Raises UserError for a table that does not exist and for runs that cannot stand in one table.
    """
    if not material.seeds:
        raise UserError("study.seeds is empty: name at least one seed")
    check_notes(material.tables)
    written = []
    for name in selected:
        table = named_table(material.tables, name)
        if table.kind == INTERVALS:
            render = _render_intervals
        else:
            render = _render_figure if table.kind in FIGURES else _render_table
        written += render(material, table, out / name)
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


def _render_table(material: Material, table: Table, folder: Path) -> list[Path]:
    report, study = material.corpus_report, material.study
    if table.kind == "corpus":
        counts = _corpus_counts(table.name, report)
        page, records = corpus_page(table, counts, study), corpus_records(counts)
    else:
        owner = material.tables[table.source]
        rows = table_rows(table, owner, material.runs, material.seeds)
        page = runs_page(table, rows, material.seeds, study, (report or {}).get("optimum"))
        records = table_records(table, rows, material.runs)
    return [
        _write(folder / "table.md", page_markdown(page)),
        _write(folder / "table.tex", page_latex(page)),
        _write(folder / "results.csv", csv_text(records)),
    ]


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


def _render_figure(material: Material, table: Table, folder: Path) -> list[Path]:
    """Draws the figure, or says in its place what is missing."""
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


def _render_intervals(material: Material, table: Table, folder: Path) -> list[Path]:
    """Draws the table's rows, or says in the figure's place which of them have no runs."""
    rows = table_rows(table, material.tables[table.source], material.runs, material.seeds)
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


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path

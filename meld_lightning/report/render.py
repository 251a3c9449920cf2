"""Writes tables as Markdown, LaTeX and CSV; the same runs give the same bytes.

Reads run objects and the corpus report. Writes <out>/<table>/{table.md, table.tex, results.csv} and
<out>/README.md. Used by `reproduce` and `report`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from meld_lightning.corpus.labels import SPLITS
from meld_lightning.errors import UserError
from meld_lightning.report.figures import draw_confusions, draw_diagram, draw_frames, fused_models
from meld_lightning.report.grid import Grid
from meld_lightning.report.layout import Page, corpus_page, runs_page
from meld_lightning.report.rows import Figure, Row, Runs, stored, table_rows
from meld_lightning.report.statistics import Run
from meld_lightning.study.sources import source_runs
from meld_lightning.study.spec import FIGURES, FOUND, Table, chosen_table, read_tables

FIGURE_COLUMNS = ("panel", "of", "what", "value")
COLUMNS = ("cell", "seed", "fold", "split", "metric", "value", "low", "high", "n", "run", "commit")
VERDICTS = (
    "Ours against the paper's figure, by our 95 % interval alone (the paper prints none; within: it"
    " lies inside):"
)
TEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "±": r"$\pm$",
        "—": "---",
        "`": "",
    }
)

Record = dict[str, Any]
Strip = Callable[
    [Run], list[dict[str, Any]]
]  # a run of frames -> the clips to show, as draw_frames takes them


def render_tables(
    tables: Mapping[str, Mapping[str, Any]],
    selected: Iterable[str],
    runs: Runs,
    seeds: Sequence[int],
    corpus_report: Mapping[str, Any] | None,
    study: Mapping[str, Any],
    out: Path,
    strip: Strip | None = None,
) -> list[Path]:
    """Render the selected tables into `out` and return the files written.

    tables: the composed `table` node. runs: the runs at hand of each (table, cell) of
        `needed_cells`; absent ones show
    as missing. seeds: those that every cell is meant to have. corpus_report: Corpus.report, for
    tables of kind corpus.
    study: name, title, note and claims (whether figures may be called above or below the paper's).
        strip: gives the
    clips for a figure of frames, which are no part of any run; None where the clips are not at
    hand. Raises UserError for a wrong spec, and for runs that do not belong into one table.
    """
    if not seeds:
        raise UserError("study.seeds is empty: name at least one seed")
    read = read_tables(tables)
    written = []
    for name in selected:
        table = chosen_table(read, name)
        if table.kind in FIGURES:
            written += _drawn(table, read, runs, seeds, study, out / name, strip)
            continue
        if table.kind == "corpus":
            counts = _corpus_counts(name, corpus_report)
            page, records = corpus_page(table, counts, study), _corpus_records(counts)
        else:
            rows = table_rows(table, read[table.source], runs, seeds)
            page = runs_page(table, rows, seeds, study, (corpus_report or {}).get("optimum"))
            records = [*_candidates(table, runs), *_run_records(rows)]
        written += [
            _write(out / name / "table.md", _markdown(page)),
            _write(out / name / "table.tex", _latex(page)),
            _write(out / name / "results.csv", _csv(records)),
        ]
    return [*written, _write(out / "README.md", _readme(out, study))]


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def _drawn(
    table: Table,
    tables: Mapping[str, Table],
    runs: Runs,
    seeds: Sequence[int],
    study: Mapping[str, Any],
    folder: Path,
    strip: Strip | None,
) -> list[Path]:
    """Draws a figure, or says in its stead what is missing."""
    found = {
        name: list(source_runs(one, tables, runs, seeds).values())
        for name, one in table.sources.items()
    }
    absent = [name for name, of_seeds in found.items() if not of_seeds]
    clips = None
    if not absent and table.kind == "frames":
        clips = strip(next(iter(found.values()))[0]) if strip else None
    if not absent and table.kind == "frames" and not clips and (folder / "table.md").is_file():
        return [folder / "table.md"]  # a figure drawn where there were clips stays
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("figure.*"):
        stale.unlink()
    if absent or (table.kind == "frames" and not clips):
        why = (
            f"missing: {', '.join(absent)}"
            if absent
            else "the clips are not decoded here: run `prepare` first"
        )
        records, body = [], f"Not drawn: {why}."
    else:
        first = next(iter(found.values()))[0]
        if table.kind == "confusion":
            told: Sequence[tuple[str, str, str, float]] = draw_confusions(found, folder / "figure")
        elif table.kind == "diagram":
            told = draw_diagram(first, fused_models(first, runs), folder / "figure")
        else:
            told = draw_frames(clips or [], first.result["labels"], folder / "figure")
        records = [dict(zip(FIGURE_COLUMNS, line, strict=True)) for line in told]
        body = f"![{table.title}]({folder.name}/figure.png)\n\n[SVG]({folder.name}/figure.svg)"
    text = f"# {table.title}\n\n{study['note']}\n\n{body}\n"
    drawn = sorted(folder.glob("figure.*"))
    return [
        _write(folder / "table.md", text),
        _write(folder / "results.csv", _csv(records, FIGURE_COLUMNS)),
        *drawn,
    ]


def _readme(out: Path, study: Mapping[str, Any]) -> str:
    """Every table that stands in `out`, those rendered earlier included: rendering one table again
    hides no other."""
    parts = [f"# {study['title']}\n\n{study['note']}\n"]
    places = {name: place for place, name in enumerate(study.get("tables", ()))}
    for path in sorted(
        out.glob("*/table.md"), key=lambda path: (places.get(path.parent.name, len(places)), path)
    ):
        title, _, *body = path.read_text(encoding="utf-8").split(
            "\n\n"
        )  # the note stands at the top already
        parts.append("\n\n".join([f"#{title}", *body]))
        files = [("LaTeX", "table.tex"), ("CSV", "results.csv")]
        links = [
            f"[{name}]({path.parent.name}/{file})"
            for name, file in files
            if (path.parent / file).is_file()
        ]
        parts.append(f"As files: {', '.join(links)}\n")
    return "\n".join(parts)


def _markdown(page: Page) -> str:
    parts = [f"# {page.title}", page.study_note]
    for grid in page.grids:
        parts += [f"**{grid.caption}**"] if grid.caption else []
        parts.append(_markdown_grid(grid))
    parts += page.remarks
    if page.verdicts:
        parts.append(VERDICTS)
        parts.append("\n".join(f"- {line}" for line in page.verdicts))
    if page.notes:
        parts.append("\n".join(f"- {line}" for line in page.notes))
    return "\n\n".join(parts) + "\n"


def _markdown_grid(grid: Grid) -> str:
    from tabulate import tabulate

    safe = [[cell.replace("|", "\\|") for cell in row] for row in [grid.headers, *grid.rows]]
    align = ["left"] + ["right"] * (len(grid.headers) - 1)
    return tabulate(
        safe[1:], headers=safe[0], tablefmt="pipe", disable_numparse=True, colalign=align
    )


def _latex(page: Page) -> str:
    """A float with every grid of the page; needs the packages booktabs and graphicx."""
    lines = ["% needs \\usepackage{booktabs,graphicx}", r"\begin{table}", r"\centering"]
    lines.append(rf"\caption{{{_tex(page.title)}}}\label{{tab:{page.name.replace('_', '-')}}}")
    for grid in page.grids:
        lines += [rf"\par\medskip {_tex(grid.caption)}"] if grid.caption else []
        lines.append(r"\par\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%")
        lines += [
            rf"\begin{{tabular}}{{l{'r' * (len(grid.headers) - 1)}}}",
            r"\toprule",
            _tex_row(grid.headers),
        ]
        lines += [r"\midrule", *map(_tex_row, grid.rows), r"\bottomrule", r"\end{tabular}}"]
    verdicts = [f"{VERDICTS} {'; '.join(page.verdicts)}."] if page.verdicts else []
    for text in (page.study_note, *page.remarks, *verdicts, *page.notes):
        lines.append(rf"\par\smallskip\footnotesize {_tex(text)}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _tex_row(cells: Sequence[str]) -> str:
    # braces keep a cell that starts with [ from being read as the optional argument of the \\
    # before it
    return (
        " & ".join(f"{{{_tex(cell)}}}" if cell.startswith("[") else _tex(cell) for cell in cells)
        + r" \\"
    )


def _tex(text: str) -> str:
    return text.translate(TEX)


def _csv(records: Iterable[Record], columns: Sequence[str] = COLUMNS) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _run_records(rows: Sequence[Row]) -> list[Record]:
    """A line for each cell, seed and metric, then one with an empty seed for the mean over all
    seeds."""
    records = []
    for row in rows:
        for run, figures in zip(row.runs, row.by_seed, strict=True):
            records += [
                _record(row.cell, run, metric, figure) for metric, figure in figures.items()
            ]
        of_all = {"run": "", "commit": "", "seed": ""}
        for metric, figure in row.mean.items():
            whole = (
                _record(row.cell, row.runs[0], metric, figure)
                if row.runs
                else _figure(row.cell, metric, figure)
            )
            records.append({**whole, **of_all, "n": whole.get("n", row.n)})
    return records


def _candidates(table: Table, runs: Runs) -> list[Record]:
    """What a `select` chose from: the val figure of every run, so that the choice can be
    checked."""
    if table.select is None:
        return []
    metric = table.select.metric
    found = [(cell, run) for cell in table.cells for run in runs.get((table.source, cell), ())]
    return [_record(cell, run, metric, Figure(stored(run, metric))) for cell, run in found]


def _record(cell: str, run: Run, metric: str, figure: Figure) -> Record:
    result = run.result
    return {
        **_figure(cell, metric, figure),
        "seed": result["seed"],
        "fold": result.get("fold"),
        "n": result["metrics"][metric.split("/")[0]]["n"],
        "run": result["hash"],
        "commit": (result["commit"] or "") + ("-dirty" if result["dirty"] else ""),
    }


def _figure(cell: str, metric: str, figure: Figure) -> Record:
    split, name = metric.split("/")
    numbers = {
        "value": _number(figure.value),
        "low": _number(figure.low),
        "high": _number(figure.high),
    }
    return {"cell": cell, "split": split, "metric": name, **numbers}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def _corpus_counts(
    name: str, corpus_report: Mapping[str, Any] | None
) -> dict[str, Mapping[str, int]]:
    """{official, found: {split: utterances}} of the corpus report; a corpus other than MELD has no
    official counts."""
    if corpus_report is None:
        return {FOUND: {}}  # nothing prepared and no evidence: the column stays empty
    counts = {key: corpus_report[name].get(key) for key in ("official", FOUND)}
    return {
        key: {
            split: column[split] for split in SPLITS if split in column
        }  # evidence keeps no order
        for key, column in counts.items()
        if column is not None
    }


def _corpus_records(counts: Mapping[str, Mapping[str, int]]) -> list[Record]:
    return [
        {"cell": FOUND, "split": split, "metric": "utterances", "value": value, "n": value}
        for split, value in counts[FOUND].items()
    ]

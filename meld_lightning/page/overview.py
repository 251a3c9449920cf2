"""What the page says first: one claim for each table, what is missing, and what to doubt.

Reads the results of report/results.py, writes nothing. Used by page/write.py; read by the page's
overview.js.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from meld_lightning.page.study_report import StudyReport
from meld_lightning.page.tables import rounded, verdict
from meld_lightning.report.comparisons import CAUTION_UNITS, TESTED
from meld_lightning.report.folds import unpooled
from meld_lightning.report.remarks import provenance_remark, seeds_differ
from meld_lightning.report.results import TableResults
from meld_lightning.report.rows import Row
from meld_lightning.study.kinds import FOUND, INTERVALS
from meld_lightning.study.spec import BASELINE, Table

MOST_NAMED = 4  # rows that a claim names one by one
# a test is of a row against the reference; a claim is of the reference against the row
OPPOSITE = {"better": "worse", "worse": "better", "same": "same", "": ""}
VERDICTS = {"better": "better than", "worse": "worse than", "same": "cannot be told apart from"}


@dataclass(frozen=True)
class Claim:
    """One line: a table's main row with its interval, and what the tests say of it.

    row: its label; value, low, high: its first tested metric (header: `metric`), `constant`: that
        of the constant baseline.
    text: whole sentences. paper: our figures beside the paper's, for a study that is compared.
    missing: what is missing; "" if nothing is.
    """

    table: str
    title: str
    row: str = ""
    metric: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    constant: float | None = None
    percent: bool = False
    n: int | None = None
    split: str = ""
    text: str = ""
    paper: list[str] = field(default_factory=list)
    missing: str = ""


@dataclass(frozen=True)
class Doubt:
    """Something that a reader should know before relying on a table."""

    table: str
    title: str
    text: str


def overview_data(report: StudyReport) -> dict[str, Any]:
    """{title, note, facts, claims, doubts, reproduce}."""
    claims = [_claim(report, one) for one in report.results if one.table.kind != INTERVALS]
    return {
        "title": report.material.study["title"],
        "note": report.material.study["note"],
        "facts": _facts(report),
        "claims": claims,
        "doubts": [doubt for one in report.results for doubt in _doubts(one)],
        "reproduce": report.reproduce if any(claim.missing for claim in claims) else "",
    }


def _facts(report: StudyReport) -> dict[str, str]:
    """What was run, in a few words each."""
    results = [part.result for run in report.row_runs() for part in unpooled(run)]
    found = {
        "Runs": str(len(results)),
        "Seeds": ", ".join(map(str, report.material.seeds)),
        "Labels": ", ".join(results[0].labels) if results else "",
        "Checkpoints": ", ".join(sorted({name for one in results for name in _weights(one)})),
        "Devices": ", ".join(sorted({one.device for one in results})),
        "Commits": ", ".join(sorted({(one.commit or "outside git")[:7] for one in results})),
        "Training time": _hours(results),
    }
    return {name: text for name, text in found.items() if text}


def _weights(result: Any) -> list[str]:
    return [name for name in result.checkpoint.split(" + ") if name]


def _hours(results: Sequence[Any]) -> str:
    seconds = sum(one.wall_s or 0 for one in results)
    if not seconds:
        return ""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def _claim(report: StudyReport, one: TableResults) -> Claim:
    table = one.table
    if table.kind == "corpus":
        return _corpus_claim(one)
    if not one.rows:  # a figure of the paper
        return _figure_claim(report, table)
    absent = [row for row in one.rows if row.missing]
    missing = "; ".join(f"{row.label}: {row.missing}" for row in absent[:MOST_NAMED])
    if len(absent) > MOST_NAMED:
        missing = f"{len(absent)} of {len(one.rows)} rows"
    base = next((row for row in one.rows if row.key == BASELINE), None)
    main = one.tests.reference if one.tests else _only(one.rows)
    metric = _metric(table)
    if main is None or not main.mean:
        return Claim(table.name, table.title, text=_range(one, metric), missing=missing)
    found = main.mean[metric]
    constant = base.mean.get(metric) if base else None
    return Claim(
        table.name,
        table.title,
        main.label,
        table.metrics[metric],
        rounded(found.value),
        rounded(found.low),
        rounded(found.high),
        rounded(constant.value) if constant else None,
        table.percent,
        main.n,
        table.split,
        _verdicts(one, metric.split("/")[1]),
        list(one.page.verdicts) if one.page else [],
        missing,
    )


def _metric(table: Table) -> str:
    """The metric that a claim is about: weighted F1 if the table has it."""
    wanted = [metric for name in TESTED for metric in table.metrics if metric.endswith(f"/{name}")]
    return (wanted or list(table.metrics))[0]


def _only(rows: Sequence[Row]) -> Row | None:
    models = [row for row in rows if row.key != BASELINE]
    return models[0] if len(models) == 1 else None


def _verdicts(one: TableResults, metric: str) -> str:
    """The reference row against the others, as sentences."""
    if one.tests is None:
        return "The table declares no tests."
    labels = {row.key: row.label for row in one.rows}
    by_verdict: dict[str, list[str]] = {}
    for key, found in one.tests.of_rows.items():
        if metric in found:
            test = found[metric]
            shown = f"{labels[key]} ({signed(-test.value)})"
            by_verdict.setdefault(OPPOSITE[verdict(test)], []).append(shown)
    sentences = []
    for name, words in VERDICTS.items():
        rows = by_verdict.get(name, [])
        if rows:
            total = len(one.tests.of_rows)
            named = _listed(rows) if len(rows) <= MOST_NAMED else f"{len(rows)} of {total} rows"
            sentences.append(f"{words} {named}")
    if "" in by_verdict:
        sentences.append("there are too few units for a test")
    text = "; ".join(sentences)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def signed(value: float) -> str:
    """A difference as the page prints it: −.0054, and +.0000 for whatever rounds to zero."""
    return f"{round(value, 4) + 0.0:+.4f}".replace("0.", ".", 1).replace("-", "−")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _range(one: TableResults, metric: str) -> str:
    """The lowest and the highest figure, for a table that declares no tests."""
    rows = [row for row in one.rows if row.key != BASELINE and metric in row.mean]
    if not rows:
        return ""
    low, high = (choose(rows, key=lambda row: row.mean[metric].value) for choose in (min, max))
    scale, digits = (100, 2) if one.table.percent else (1, 4)
    ends = [f"{row.mean[metric].value * scale:.{digits}f} ({row.label})" for row in (low, high)]
    between = " to ".join(ends) if low is not high else ends[0]
    header = one.table.metrics[metric]
    return f"{header[:1].upper()}{header[1:]} from {between}. The table declares no tests."


def _corpus_claim(one: TableResults) -> Claim:
    found = one.counts[FOUND]
    if not found:
        return Claim(one.table.name, one.table.title, missing="the corpus is not prepared here")
    counts = ", ".join(f"{number} {split}" for split, number in found.items())
    official = one.counts.get("official")
    same = ""
    if official is not None:
        same = " As in MELD's CSV files." if official == found else " MELD's CSV files have others."
    return Claim(one.table.name, one.table.title, text=f"Utterances: {counts}.{same}")


def _figure_claim(report: StudyReport, table: Table) -> Claim:
    absent = [
        name
        for name, source in table.sources.items()
        if not all(
            report.material.runs.get(key) for key in source.candidates(report.material.tables)
        )
    ]
    missing = f"no runs yet for {', '.join(absent)}" if absent else ""
    return Claim(
        table.name,
        table.title,
        text="" if missing else f"Drawn: {table.name}/figure.png.",
        missing=missing,
    )


def _doubts(one: TableResults) -> list[Doubt]:
    """Mixed versions, figures whose seeds differ, and few units."""
    table, texts = one.table, list[str]()
    if table.kind == INTERVALS or not one.rows:
        return []
    texts += provenance_remark(one.rows)
    uneven = [
        row.label for row in one.rows if any(seeds_differ(row, metric) for metric in table.metrics)
    ]
    if uneven:
        texts.append(f"Seeds differ by more than 0.02 in {_listed(uneven)}.")
    first = next((row.scored[0] for row in one.rows if row.scored), None)
    if first is not None and first.only_unit:
        texts.append(f"All utterances belong to {first.only_unit} and are taken as independent.")
    elif first is not None and len(set(first.units)) < CAUTION_UNITS:
        texts.append(f"Only {len(set(first.units))} units: intervals and p-values are approximate.")
    return [Doubt(table.name, table.title, text) for text in texts]

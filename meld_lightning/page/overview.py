"""What the page says first: answers to a reader's questions, one claim for each table, what is
missing, and what to doubt.

Reads the results of report/results.py, writes nothing. Used by page/write.py; read by the page's
overview.js.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from meld_lightning.page.answers import answers, units_caution
from meld_lightning.page.study_report import StudyReport
from meld_lightning.page.tables import reversed_test, rounded, tested_metric, verdict
from meld_lightning.page.words import figure, listed
from meld_lightning.report.folds import unpooled
from meld_lightning.report.missing import SHARES
from meld_lightning.report.remarks import provenance_remark, seeds_differ
from meld_lightning.report.results import TableResults
from meld_lightning.report.rows import Row
from meld_lightning.study.kinds import FOUND, INTERVALS
from meld_lightning.study.spec import BASELINE, Table

NO_TESTS = "Its rows are not tested against each other."
MOST_NAMED = 4  # missing rows that a claim names one by one
VERDICTS = {
    "better": "Better than",
    "worse": "Worse than",
    "same": "No clear difference from",
    "": "Too few units to test against",
}


@dataclass(frozen=True)
class Against:
    """A row that the claim's row is compared with.

    id: how the page's addresses name it. only: the one label that the row predicts for every
        utterance; "" if it predicts several, or is the constant baseline.
    """

    id: str
    label: str
    difference: float
    only: str = ""


@dataclass(frozen=True)
class Tested:
    """The rows against which the tests say the same of the claim's row. total: all tested rows."""

    verdict: str
    text: str
    rows: list[Against]
    total: int


@dataclass(frozen=True)
class Claim:
    """One line: a table's main row with its interval, and what the tests say of it.

    row: its label, and id: how the page's addresses name it; value, low, high: its first tested
        metric (header: `metric`), `constant`: that of the constant baseline.
    tested: what the tests say of it; text: whole sentences, where there are no tests.
    figure: the id of the page's figure that shows the table; "" if none does.
    paper: our figures beside the paper's, for a study that is compared.
    missing: what is missing; "" if nothing is.
    """

    table: str
    title: str
    row: str = ""
    id: str = ""
    metric: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    constant: float | None = None
    percent: bool = False
    n: int | None = None
    split: str = ""
    text: str = ""
    tested: list[Tested] = field(default_factory=list)
    figure: str = ""
    paper: list[str] = field(default_factory=list)
    missing: str = ""


@dataclass(frozen=True)
class Doubt:
    """Something that a reader should know before relying on some tables. tables: name -> title."""

    text: str
    tables: dict[str, str]


def overview_data(report: StudyReport) -> dict[str, Any]:
    """{title, note, answers, facts, claims, doubts, reproduce}."""
    claims = [_claim(report, one) for one in report.results if one.table.kind != INTERVALS]
    return {
        "title": report.material.study["title"],
        "note": report.material.study["note"],
        "answers": answers(report),
        "facts": _facts(report),
        "claims": claims,
        "doubts": _doubts(report.results),
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
    if one.curves:
        return Claim(table.name, table.title, text=_robust(one), figure="robustness")
    if not one.rows:  # a figure of the paper
        return _figure_claim(report, table)
    absent = [row for row in one.rows if row.missing]
    missing = "; ".join(f"{row.label}: {row.missing}" for row in absent[:MOST_NAMED])
    if len(absent) > MOST_NAMED:
        missing = f"{len(absent)} of {len(one.rows)} rows"
    main = one.tests.reference if one.tests else _only(one.rows)
    metric = tested_metric(table)
    if main is None or not main.mean:
        return Claim(table.name, table.title, text=_range(one, metric), missing=missing)
    base = next((row for row in one.rows if row.key == BASELINE), None)
    found = main.mean[metric]
    constant = base.mean.get(metric) if base else None
    return Claim(
        table.name,
        table.title,
        row=main.label,
        id=f"{table.name}/{main.key}",
        metric=table.metrics[metric],
        value=rounded(found.value),
        low=rounded(found.low),
        high=rounded(found.high),
        constant=rounded(constant.value) if constant else None,
        percent=table.percent,
        n=main.n,
        split=table.split,
        text="" if one.tests else NO_TESTS,
        tested=_tested(one, metric.split("/")[1]),
        paper=list(one.page.verdicts) if one.page else [],
        missing=missing,
    )


def _only(rows: Sequence[Row]) -> Row | None:
    models = [row for row in rows if row.key != BASELINE]
    return models[0] if len(models) == 1 else None


def _tested(one: TableResults, metric: str) -> list[Tested]:
    """The reference row against the others, by what the tests say, in the order of VERDICTS."""
    if one.tests is None:
        return []
    rows = {row.key: row for row in one.rows}
    by_verdict: dict[str, list[Against]] = {}
    for key, found in one.tests.of_rows.items():
        if metric in found:
            test = reversed_test(found[metric])
            place, size = f"{one.table.name}/{key}", rounded(test.value) or 0.0
            against = Against(place, rows[key].label, size, _one_label(rows[key]))
            by_verdict.setdefault(verdict(test), []).append(against)
    total = sum(map(len, by_verdict.values()))
    return [
        Tested(name, text, by_verdict[name], total)
        for name, text in VERDICTS.items()
        if name in by_verdict
    ]


def _range(one: TableResults, metric: str) -> str:
    """The lowest and the highest figure, for a table without tests."""
    rows = [row for row in one.rows if row.key != BASELINE and metric in row.mean]
    if not rows:
        return ""
    low, high = (choose(rows, key=lambda row: row.mean[metric].value) for choose in (min, max))
    ends = [
        f"{figure(row.mean[metric].value, one.table.percent)} ({row.label})" for row in (low, high)
    ]
    between = " to ".join(ends) if low is not high else ends[0]
    header = one.table.metrics[metric]
    return f"{header[:1].upper()}{header[1:]} from {between}. {NO_TESTS}"


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


def _robust(one: TableResults) -> str:
    """How far the fusion that scores best falls while half of the modalities are missing."""
    best = max(one.curves, key=lambda found: found.by_share[0].value)
    half = SHARES.index(0.5)
    metric = next(iter(one.table.metrics.values()))
    return (
        f"{best.label}: {metric} {figure(best.by_share[0].value)} with every modality,"
        f" {figure(best.by_share[half].value)} in one random draw that leaves out half of them."
    )


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
        text="" if missing else f"Drawn as {table.name}/figure.png, beside the tables as text.",
        missing=missing,
    )


def _one_label(row: Row) -> str:
    """The one label that each seed of a model's row predicts for every utterance, "one label for
    each seed (joy, fear)" for two seeds that differ; "" if a seed predicts several."""
    predicted = [set(one.predicted.tolist()) for one in row.scored]
    if row.key == BASELINE or not predicted or any(len(places) > 1 for places in predicted):
        return ""
    labels = [row.scored[0].labels[place] for place in sorted(set().union(*predicted))]
    return labels[0] if len(labels) == 1 else f"one label for each seed ({', '.join(labels)})"


def _doubts(results: Sequence[TableResults]) -> list[Doubt]:
    """Each caution once, with the tables that it is about."""
    found: dict[str, dict[str, str]] = {}
    for one in results:
        for text in _cautions(one):
            found.setdefault(text, {})[one.table.name] = one.table.title
    return [Doubt(text, tables) for text, tables in found.items()]


def _cautions(one: TableResults) -> list[str]:
    """Mixed versions, rows that predict one label, figures whose seeds differ, and few units."""
    table, texts = one.table, list[str]()
    if table.kind == INTERVALS or not one.rows:
        return []
    texts += provenance_remark(one.rows)
    texts += [
        f"{row.label} predicts {label} for every utterance, so that a win over it means little."
        for row in one.rows
        if (label := _one_label(row))
    ]
    uneven = [
        row.label for row in one.rows if any(seeds_differ(row, metric) for metric in table.metrics)
    ]
    if uneven:
        texts.append(f"Seeds differ by more than 0.02 in {listed(uneven)}.")
    first = next((row.scored[0] for row in one.rows if row.scored), None)
    if first is not None and (caution := units_caution(first)):
        texts.append(caution)
    return texts

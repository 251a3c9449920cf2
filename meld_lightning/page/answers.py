"""What a reader asks first, answered from the tests, with links to what shows it.

Which row won, by how much, whether that is real, which emotion fails, and what each modality fixed.
Reads the results of report/results.py; writes nothing. Used by page/overview.py; read by the page's
overview.js.

Axes: K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meld_lightning.metrics import confusion
from meld_lightning.page.main_row import MainRow, main_row, sources_of
from meld_lightning.page.rows import SPLIT
from meld_lightning.page.study_report import StudyReport
from meld_lightning.page.tables import reversed_test, tested_metric, verdict
from meld_lightning.page.words import bold, count, figure, interval, listed, percent, signed
from meld_lightning.report.classes import class_estimates
from meld_lightning.report.comparisons import CAUTION_UNITS, Difference
from meld_lightning.report.complement import complement
from meld_lightning.report.layout import p_text
from meld_lightning.report.rows import Row
from meld_lightning.report.scored import Scored, scored
from meld_lightning.study.spec import BASELINE

REAL = {
    "better": "By the table's test the difference is real",
    "worse": "By the table's test the difference is real",
    "same": "The table's test cannot tell the two apart",
    "": "There are too few units for a test",
}


@dataclass(frozen=True)
class Link:
    """A place on the page. params: of its address; see page/assets/script/state.js."""

    text: str
    section: str
    params: dict[str, str]


@dataclass(frozen=True)
class Answer:
    """A question with its answer in whole sentences, and where the page shows it.

    text: what stands between ** and ** is printed in bold.
    """

    question: str
    text: str
    links: list[Link]


def answers(report: StudyReport) -> list[Answer]:
    """The questions that the study's results can answer; none where no row is complete."""
    main = main_row(report)
    if main is None:
        return []
    found = [_won(report, main), _margin(report, main), _fails(main), *_fixed(report, main)]
    return [one for one in found if one is not None]


def row_id(main: MainRow, row: Row) -> str:
    """How the page's addresses name a row."""
    return f"{main.of_table.table.name}/{row.key}"


def _won(report: StudyReport, main: MainRow) -> Answer:
    """The main row, and the row of its kind that scores highest on test."""
    table, metric = main.of_table.table, tested_metric(main.of_table.table)
    found, header = main.row.mean[metric], table.metrics[metric]
    kind = "fusion" if len(main.sources) > 1 else "row"
    peers = [
        row
        for row in main.of_table.rows
        if row.scored and row.key != BASELINE
        if kind == "row" or len(sources_of(report, row)) > 1
    ]
    best = max(peers, key=lambda row: (row.mean[metric].value, row is main.row))
    reaches = (
        f"{bold(main.row.label)} reaches {header} {figure(found.value, table.percent)}"
        f"{interval(found.low, found.high, percent=table.percent)} on {count(main.row.n)}"
        f" {table.split} utterances."
    )
    links = [Link("See the table", "tables", {"table": table.name})]
    if len(peers) == 1:
        return Answer(f"How good is the {kind}?", reaches, links)
    of_all = f"of the table's {len(peers)} {kind}s"
    if best is main.row:
        return Answer(f"Which {kind} won?", f"{reaches} It scores highest {of_all}.", links)
    value = figure(best.mean[metric].value, table.percent)
    highest = f"{bold(best.label)} scores highest {of_all}, {value}{_beside(main, best, metric)}."
    return Answer(f"Which {kind} won?", f"{reaches} {highest}", [*links, _compare(main, best)])


def _beside(main: MainRow, best: Row, metric: str) -> str:
    """What the table's test says of the row that scores highest; "" without a test."""
    test = _test(main, best, metric)
    if test is None:
        return ""
    found = {
        "better": f", and is better than {main.row.label}",
        "same": f", and cannot be told apart from {main.row.label}",
        "": ", with too few units for a test",
    }
    return f"{found[verdict(test)]} ({signed(test.value)})"


def _margin(report: StudyReport, main: MainRow) -> Answer | None:
    """The difference from the rival: of a fusion the best row of one modality, else the next best
    row, else the constant baseline. None without tests."""
    metric = tested_metric(main.of_table.table)
    rivals = [
        row
        for row in main.of_table.rows
        if row.scored and row is not main.row and _test(main, row, metric)
    ]
    models = [row for row in rivals if row.key != BASELINE]
    single = [row for row in models if _one_modality(report, main, row)]
    wanted = single or models or rivals
    if not wanted:
        return None
    rival = max(wanted, key=lambda row: row.mean[metric].value)
    test = _test(main, rival, metric)
    assert test is not None
    gap = reversed_test(test)
    role = "the best single modality" if single else "the next best row"
    if rival.key == BASELINE:
        role = "the constant baseline"
    p = ""
    if gap.p_holm is not None:
        p = f"; Holm's p over all tests of the table {p_text(gap.p_holm, gap.holm_at_floor)}"
    ends = interval(gap.low, gap.high, sign=True)
    caution = units_caution(main.row.scored[0])
    text = (
        f"{signed(gap.value)} in {main.of_table.table.metrics[metric]} against {bold(rival.label)},"
        f" {role}{ends and f'; 95 % interval{ends}'}{p}."
        f" {REAL[verdict(test)]}.{caution and f' {caution}'}"
    )
    return Answer("By how much, and is that real?", text, [_compare(main, rival)])


def units_caution(one: Scored) -> str:
    """What limits the tests of a row with few units; "" if nothing does."""
    if one.only_unit:
        return f"All utterances belong to {one.only_unit} and are taken as independent."
    units = len(set(one.units))
    few = f"Only {units} units: intervals and p-values are approximate."
    return few if units < CAUTION_UNITS else ""


def _one_modality(report: StudyReport, main: MainRow, row: Row) -> bool:
    """Whether a row is, or fuses alone, one of the modalities of the main row."""
    fused = sources_of(report, row)
    own = {run.result.hash for run in row.runs}
    known = set(main.sources.values())
    return bool(own & known) or (len(fused) == 1 and set(fused.values()) <= known)


def _test(main: MainRow, row: Row, metric: str) -> Difference | None:
    tests = main.of_table.tests
    return tests.of_rows.get(row.key, {}).get(metric.split("/")[1]) if tests else None


def _compare(main: MainRow, row: Row) -> Link:
    ids = {"a": row_id(main, main.row), "b": row_id(main, row)}
    return Link(f"Compare {main.row.label} and {row.label}", "compare", ids)


def _fails(main: MainRow) -> Answer:
    """The label with the lowest F1, and what it is taken for."""
    row, labels = main.row, main.row.scored[0].labels
    f1_K = class_estimates(row.scored)["f1"]
    counts_KK = sum(confusion(one.true, one.predicted, len(labels)) for one in row.scored)
    assert isinstance(counts_KK, np.ndarray)
    support_K = counts_KK.sum(1)
    known = [place for place in range(len(labels)) if support_K[place]]
    worst, best = (choose(known, key=lambda place: f1_K[place].value) for choose in (min, max))
    share_K = counts_KK[worst] / support_K[worst]
    other = max((place for place in known if place != worst), key=lambda place: share_K[place])
    label, low, high = labels[worst], f1_K[worst].low, f1_K[worst].high
    text = (
        f"{bold(label)}: F1 {figure(f1_K[worst].value)}{interval(low, high)}."
        f" Of its {count(support_K[worst] // len(row.scored))} utterances"
        f" {percent(share_K[worst])} are found and {percent(share_K[other])} are predicted as"
        f" {labels[other]}. Best: {labels[best]}, {figure(f1_K[best].value)}."
    )
    missed = {"a": row.runs[0].result.hash, "emotion": label, "kind": "wrong"}
    links = [
        Link("Scores of each emotion", "figures", {"row": row_id(main, row), "figure": "classes"}),
        Link("Confusion matrix", "figures", {"row": row_id(main, row), "figure": "confusion"}),
        Link(f"Utterances of {label} that it misses", "explorer", missed),
    ]
    return Answer("Which emotion fails?", text, links)


def _fixed(report: StudyReport, main: MainRow) -> list[Answer]:
    """The utterances that the fusion gets right with one modality alone, for the first seed."""
    if len(main.sources) < 2:
        return []
    run = main.row.runs[0]
    runs = {one.result.hash: one for one in report.row_runs()}
    members: dict[str, Scored] = {
        name: scored(runs[one], SPLIT) for name, one in main.sources.items()
    }
    found = complement([(main.row.scored[0], members)])
    fixed = {
        one.right[0]: round(one.fused) for one in found.subsets if len(one.right) == 1 and one.fused
    }
    seeds = f", for seed {run.result.seed}" if len(main.row.runs) > 1 else ""
    of_all = f"Of {count(found.n)} utterances{seeds}, {bold(main.row.label)} gets"
    each = [f"{count(n)} right in which {bold(name)} alone is right" for name, n in fixed.items()]
    first = f"{of_all} {listed(each)}." if fixed else f"{of_all} none right by one modality alone."
    text = (
        f"{first} Always choosing a modality that is right would reach {percent(found.oracle)}"
        f" accuracy; {main.row.label} reaches {percent(found.fused)}."
    )
    links = [
        Link(
            f"The {count(n)} that {name} alone got right",
            "explorer",
            {"a": run.result.hash, "kind": "right", "right": f"only-{name}"},
        )
        for name, n in fixed.items()
    ]
    links.append(
        Link(
            "Who is right when others are wrong",
            "figures",
            {"row": row_id(main, main.row), "figure": "complement"},
        )
    )
    return [Answer("What did each modality fix?", text, links)]

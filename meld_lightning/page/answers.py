"""What a reader asks first, answered from the tests, with links to what shows it.

Which row won, by how much, whether that is real, which emotion fails, and what each modality fixed.
Reads the results of report/results.py; writes nothing. Used by page/overview.py; read by the page's
overview.js.
"""

from __future__ import annotations

from meld_lightning.page.answer import Answer, Link
from meld_lightning.page.main_row import MainRow, alone_of, main_row
from meld_lightning.page.rows import SPLIT
from meld_lightning.page.study_report import StudyReport
from meld_lightning.page.tables import reversed_test, tested_metric, verdict
from meld_lightning.page.weakest import weakest_emotion
from meld_lightning.page.words import (
    bold,
    count,
    figure,
    interval,
    listed,
    percent,
    probability,
    signed,
)
from meld_lightning.report.comparisons import CAUTION_UNITS, Difference
from meld_lightning.report.complement import complement
from meld_lightning.report.layout import TESTED_AS
from meld_lightning.report.rows import Row
from meld_lightning.report.scored import Scored, scored
from meld_lightning.study.spec import BASELINE

TESTED = {
    "better": "The table's test finds a clear difference",
    "worse": "The table's test finds a clear difference",
    "same": "The table's test finds no clear difference",
    "": "There are too few units for a test",
}


def answers(report: StudyReport) -> list[Answer]:
    """The questions that the study's results can answer; none where no row is complete."""
    main = main_row(report)
    if main is None:
        return []
    found = [
        _won(report, main),
        _margin(report, main),
        weakest_emotion(main),
        *_fixed(report, main),
    ]
    return [one for one in found if one is not None]


def _won(report: StudyReport, main: MainRow) -> Answer:
    """The main row, and the row of its kind that scores highest on test."""
    table, metric = main.of_table.table, tested_metric(main.of_table.table)
    found, header = main.row.mean[metric], table.metrics[metric]
    kind = "fusion" if main.alone else "row"
    peers = [
        row
        for row in main.of_table.rows
        if row.scored and row.key != BASELINE
        if kind == "row" or alone_of(report, row)
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
    # val chose the main row, unless the study names it to compare the others with
    both = f"{highest} {reaches}" if table.against else f"{reaches} {highest}"
    return Answer(f"Which {kind} won?", both, [*links, _compare(main, best)])


def _beside(main: MainRow, best: Row, metric: str) -> str:
    """What the table's test says of the row that scores highest; "" without a test."""
    test = _test(main, best, metric)
    if test is None:
        return ""
    found = {
        "better": f", and is better than {main.row.label}",
        "same": f", with no clear difference from {main.row.label}",
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
    single = [row for row in models if _one_modality(main, row)]
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
        p = f"; Holm's p over all tests of the table {probability(gap.p_holm, gap.holm_at_floor)}"
    ends = interval(gap.low, gap.high, sign=True)
    sentences = [f"{TESTED[verdict(test)]}.", _otherwise(main, rival, metric), *_cautions(main)]
    text = (
        f"{signed(gap.value)} in {main.of_table.table.metrics[metric]} against {bold(rival.label)},"
        f" {role}{ends and f'; 95 % interval of this difference alone{ends}'}{p}."
        f" {' '.join(filter(None, sentences))}"
    )
    return Answer("By how much, and is that real?", text, [_compare(main, rival)])


def _otherwise(main: MainRow, rival: Row, metric: str) -> str:
    """The table's other tested metrics whose tests say something else of the two; "" if none do."""
    assert main.of_table.tests is not None
    of_rival = main.of_table.tests.of_rows[rival.key]
    said = verdict(of_rival[metric.split("/")[1]])
    found = [
        f"{TESTED_AS[name].lower().replace('f1', 'F1')} ({signed(-test.value)}; Holm's p"
        f" {probability(test.p_holm, test.holm_at_floor)})"
        for name, test in of_rival.items()
        if verdict(test) != said
    ]
    return f"Its test in {listed(found)} says otherwise." if found else ""


def _cautions(main: MainRow) -> list[str]:
    """What limits the answer: few units, and choices made on val."""
    found, table = [units_caution(main.row.scored[0])], main.of_table.table
    if table.folds:
        found.append(
            "A setting chosen on the val splits of all folds has seen test utterances of other"
            " folds; one chosen inside a fold has not."
        )
    return [f"Caution: {one[:1].lower()}{one[1:]}" for one in found if one]


def units_caution(one: Scored) -> str:
    """What limits the tests of a row with few units; "" if nothing does."""
    if one.only_unit:
        return f"All utterances belong to {one.only_unit} and are taken as independent."
    units = len(set(one.units))
    few = f"Only {units} units: intervals and p-values are approximate."
    return few if units < CAUTION_UNITS else ""


def _one_modality(main: MainRow, row: Row) -> bool:
    """Whether a row stands for one of the main row's modalities alone."""
    return bool({run.result.hash for run in row.runs} & set(main.alone.values()))


def _test(main: MainRow, row: Row, metric: str) -> Difference | None:
    tests = main.of_table.tests
    return tests.of_rows.get(row.key, {}).get(metric.split("/")[1]) if tests else None


def _compare(main: MainRow, row: Row) -> Link:
    ids = {"a": main.id, "b": f"{main.of_table.table.name}/{row.key}"}
    return Link(f"Compare {main.row.label} and {row.label}", "compare", ids)


def _fixed(report: StudyReport, main: MainRow) -> list[Answer]:
    """The utterances that the fusion and just one modality by itself get right, for the first
    seed; and how far a perfect choice between the modalities would come."""
    if not main.alone:
        return []
    run = main.row.runs[0]
    runs = {one.result.hash: one for one in report.row_runs()}
    members: dict[str, Scored] = {
        name: scored(runs[one], SPLIT) for name, one in main.alone.items()
    }
    found = complement([(main.row.scored[0], members)])
    fixed = {name: round(n) for name, n in found.fused_with_one.items()}
    gained = round(found.fused_with_none)
    seed = f" (seed {run.result.seed})" if len(main.row.runs) > 1 else ""
    each = [f"{count(n)} where only {bold(name)} is right by itself" for name, n in fixed.items()]
    first = f"Of {count(found.n)} utterances{seed}, {bold(main.row.label)} is right on"
    first = f"{first} {listed(each)}." if fixed else f"{first} none that only one modality is."
    more = (
        f"It is right on {count(gained)} where each modality by itself is wrong. " if gained else ""
    )
    text = (
        f"{first} {more}At least one modality is right on {percent(found.oracle)} of the"
        f" utterances, the accuracy of choosing perfectly between them; {main.row.label} reaches"
        f" {percent(found.fused)}."
    )
    links = [
        Link(
            f"The {count(n)} that only {name} and the fusion get right",
            "explorer",
            {"a": run.result.hash, "kind": "right", "right": f"only-{name}"},
        )
        for name, n in fixed.items()
    ]
    links.append(
        Link(
            "Who is right when others are wrong",
            "figures",
            {"row": main.id, "figure": "complement"},
        )
    )
    return [Answer("What did each modality fix?", text, links)]

"""Lays out an audit as text and as records of results.csv.

Reads the figures of report/audit.py; writes nothing. Used by report/results.py and
report/render.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from meld_lightning.report.audit import Audit, Audited, Group, Model, audit
from meld_lightning.report.comparisons import CAUTION_UNITS, TEST_UNITS
from meld_lightning.report.groupings import Grouping
from meld_lightning.report.layout import NONE, estimate_text, p_text
from meld_lightning.report.page import Grid, Page
from meld_lightning.report.rows import Estimate, Row
from meld_lightning.study.spec import Table, has_interval

FIGURES = (
    *("n", "units", "value", "low", "high", "constant", "difference", "difference_low"),
    *("difference_high", "p", "p_holm"),
)
COLUMNS = ("model", "grouping", "group", "split", "metric", *FIGURES)


def audit_page(table: Table, found: Audit | None, study: Mapping[str, Any]) -> Page:
    """The audit as a page; one that says what is missing if there is none."""
    if found is None:
        need = " and readers' votes (corpus.votes=FILE)" if "agreement" in table.by else ""
        missing = (
            f"Not computed yet: it needs all runs of {', '.join(table.sources)}, and the corpus"
            f"{need} prepared."
        )
        return Page(table.name, table.title, study["note"], [], [missing])
    header = next(iter(table.metrics.values()))
    titles = dict.fromkeys(one.title for one in found.audited)
    grids = [
        _grid(title, [one for one in found.audited if one.title == title], header)
        for title in titles
    ]
    return Page(table.name, table.title, study["note"], grids, [reading(found, header)])


def split_page(
    page: Page, table: Table, rows: Sequence[Row], groupings: Sequence[Grouping]
) -> Page:
    """A table of runs with a further grid for each grouping (study.split_by): the first metric of
    every complete row in every group."""
    metric = next(name for name in table.metrics if has_interval(name))
    complete = [row for row in rows if row.scored]
    # no constant baseline is shown here, so any label will do for it
    models = [Model(one.label, one.scored, one.scored[0].labels[0], groupings) for one in complete]
    found = audit(models, metric)
    grids = []
    for title in dict.fromkeys(one.title for one in found.audited):
        of_rows = [one for one in found.audited if one.title == title]
        columns = [f"{group.name}, n {group.n}" for group in of_rows[0].groups]
        body = [
            [one.model, *(_score(group, table.percent) for group in one.groups)] for one in of_rows
        ]
        caption = f"{title}: {table.metrics[metric]}"
        grids.append(Grid(caption, ["row", *columns], body))
    return replace(page, grids=[*page.grids, *grids])


def audit_records(found: Audit) -> list[dict[str, Any]]:
    """One record for each model and group, with COLUMNS."""
    split, metric = found.metric.split("/")
    return [
        {
            "model": one.model,
            "grouping": one.grouping,
            "group": group.name,
            "split": split,
            "metric": metric,
            **{name: _number(getattr(group, name)) for name in FIGURES},
        }
        for one in found.audited
        for group in one.groups
    ]


def group_line(group: Group) -> list[str]:
    """n, units, score, constant baseline, difference from the others, p and Holm p as text."""
    few = p_text(None)
    difference = NONE
    if group.difference is not None:
        difference = f"{group.difference:+.4f}"
        if group.difference_low is not None:
            difference += f" [{group.difference_low:+.4f}, {group.difference_high:+.4f}]"
    tests = [NONE if group.difference is None else few] * 2
    if group.p is not None:
        tests = [p_text(group.p), p_text(group.p_holm)]
    figures = [_score(group), f"{group.constant:.4f}", difference]
    return [str(group.n), str(group.units), *figures, *tests]


def _score(group: Group, percent: bool = False) -> str:
    return estimate_text(Estimate(group.value, group.low, group.high), percent)


def headers(metric: str) -> list[str]:
    """What stands above `group_line`."""
    return ["n", "units", metric, "constant", "difference from the others", "p", "Holm p"]


def _grid(title: str, audited: Sequence[Audited], header: str) -> Grid:
    """Groups one below the other, in each the models."""
    several = len(audited) > 1
    names = dict.fromkeys(group.name for one in audited for group in one.groups)
    body = [
        [group.name, *([one.model] if several else []), *group_line(group)]
        for name in names
        for one in audited
        for group in one.groups
        if group.name == name
    ]
    return Grid(title, ["group", *(["model"] if several else []), *headers(header)], body)


def reading(found: Audit, header: str) -> str:
    """How to read an audit, as one paragraph."""
    groups = [group for one in found.audited for group in one.groups]
    tests = sum(group.p is not None for group in groups)
    sentences = [
        f"{header} on {found.metric.split('/')[0]}, means over seeds, with 95 % intervals. n is the"
        " number of utterances of a group, units the number of dialogues, speakers or single"
        " utterances that intervals and tests draw on. The constant column always predicts the most"
        " common label of train: groups differ in how often each label occurs, which alone changes"
        " a score, so compare with it before calling a difference a bias.",
        "A difference is the score of the group minus that of all other groups together; of two"
        f" groups the second bears it. Tests are two-sided; Holm p is adjusted for"
        f" {'the one test' if tests == 1 else f'the {tests} tests'} of this audit.",
    ]
    if any(group.difference is not None and group.p is None for group in groups):
        sentences.append(
            f"Too few units: a group, or the others together, has fewer than {TEST_UNITS}."
        )
    if any(group.units < CAUTION_UNITS for group in groups):
        sentences.append(
            f"In groups with fewer than {CAUTION_UNITS} units, intervals and p-values are"
            " approximate."
        )
    unknown = {one.title: one.ungrouped for one in found.audited if one.ungrouped}
    if unknown:
        shown = ", ".join(f"{count} ({title})" for title, count in unknown.items())
        sentences.append(f"Utterances whose group is not known: {shown}.")
    if found.single:
        sentences.append(f"Only one group here: {', '.join(found.single)}.")
    return " ".join(sentences)


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)

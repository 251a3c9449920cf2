"""Audits: scores of groups against scikit-learn, tests against simple cases done by hand, and what
is kept as evidence."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.report.audit import Audited, Group, Model, audit
from meld_lightning.report.groupings import Grouping
from meld_lightning.report.scored import Scored
from meld_lightning.study.kinds import read_tables
from tests.report.conftest import grid_of, results

Make = Callable[..., Any]
LABELS = ("a", "b", "c")


def predictions(units: list[str], right: list[bool], seed: int = 0) -> Scored:
    """Predictions that are right or wrong as given, on labels that are drawn."""
    count = len(units)
    true = np.random.default_rng(3).integers(0, 3, count)
    predicted = np.where(right, true, (true + 1) % 3)
    keys = np.array([f"test/{place:04d}" for place in range(count)], dtype=object)
    present = np.ones(count, bool)
    return Scored(f"run {seed}", LABELS, keys, np.array(units, object), true, predicted, present)


def grouped(groups: list[str], *names: str) -> Grouping:
    of = {f"test/{place:04d}": group for place, group in enumerate(groups) if group}
    return Grouping("sex", "By sex", names, of)


def audited(scored: list[Scored], grouping: Grouping, metric: str = "test/accuracy") -> Audited:
    (found,) = audit([Model("text", scored, "b", [grouping])], metric).audited
    return found


def test_scores_of_a_group_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    units = [f"u{place // 4}" for place in range(160)]
    one = predictions(units, list(rng.random(160) < 0.6))
    groups = [("f", "m", "m", "")[place % 4] for place in range(160)]
    found = audited([one], grouped(groups, "f", "m", "x"), "test/weighted_f1")
    assert [(group.name, group.n, group.units) for group in found.groups] == [
        ("f", 40, 40),
        ("m", 80, 40),
    ]
    assert found.ungrouped == 40
    for group in found.groups:
        mine = np.array(groups) == group.name
        true, predicted = one.true[mine], one.predicted[mine]
        expected = f1_score(true, predicted, average="weighted", zero_division=0)
        assert group.value == pytest.approx(expected, abs=1e-6)
        always_b = f1_score(true, np.ones_like(true), average="weighted", zero_division=0)
        assert group.constant == pytest.approx(always_b, abs=1e-6)
        assert (group.low or 0) < group.value < (group.high or 0)
    first, second = found.groups
    assert (first.difference, first.p) == (None, None)
    assert second.difference == pytest.approx(second.value - first.value, abs=2e-6)


def test_units_with_utterances_in_both_groups_are_compared_within_themselves() -> None:
    """One utterance of each group in every unit: the paired t test."""
    rng = np.random.default_rng(1)
    hard = rng.random(60)  # a unit that is hard is so for both
    right = [bool(draw < 1 - h) for h in hard for draw in rng.random(2) * 0.5 + h * 0.2]
    units = [f"u{place // 2:02d}" for place in range(120)]
    found = audited([predictions(units, right)], grouped(["f", "m"] * 60, "f", "m"))
    pairs = np.array(right, float).reshape(60, 2)
    expected = stats.ttest_rel(pairs[:, 1], pairs[:, 0])
    assert found.groups[1].p == pytest.approx(expected.pvalue, abs=2e-6)
    interval = expected.confidence_interval()
    assert found.groups[1].difference_low == pytest.approx(interval.low, abs=2e-6)
    assert found.groups[1].difference_high == pytest.approx(interval.high, abs=2e-6)


def test_units_of_one_group_alone_are_compared_with_those_of_the_other() -> None:
    """Every unit in one group: Welch's t test."""
    rng = np.random.default_rng(2)
    right = [bool(one) for one in (*(rng.random(20) < 0.4), *(rng.random(50) < 0.8))]
    units = [f"u{place:02d}" for place in range(70)]
    found = audited([predictions(units, right)], grouped(["f"] * 20 + ["m"] * 50, "f", "m"))
    ours, theirs = np.array(right[20:], float), np.array(right[:20], float)
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    assert found.groups[1].p == pytest.approx(expected.pvalue, abs=2e-6)
    interval = expected.confidence_interval()
    assert found.groups[1].difference_low == pytest.approx(interval.low, abs=2e-6)
    assert found.groups[1].difference_high == pytest.approx(interval.high, abs=2e-6)


def test_each_of_several_groups_is_compared_with_all_others() -> None:
    rng = np.random.default_rng(4)
    groups = ["x", "y", "z"] * 60
    right = [bool(rng.random() < {"x": 0.9, "y": 0.5, "z": 0.5}[group]) for group in groups]
    units = [f"u{place // 6}" for place in range(180)]
    found = audited([predictions(units, right)], grouped(groups, "x", "y", "z"))
    share = {
        name: np.mean([one for one, group in zip(right, groups, strict=True) if group == name])
        for name in "xyz"
    }
    assert found.groups[0].difference == pytest.approx(
        share["x"] - (share["y"] + share["z"]) / 2, abs=2e-6
    )
    p_values = [group.p for group in found.groups if group.p is not None]
    assert len(p_values) == 3
    assert [group.p_holm for group in found.groups] == pytest.approx(
        holm_by_hand(p_values), abs=1e-5
    )
    assert p_values[0] < 0.001


def holm_by_hand(p_values: list[float]) -> list[float]:
    order, worst, adjusted = np.argsort(p_values), 0.0, [0.0] * len(p_values)
    for step, place in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - step) * p_values[place]))
        adjusted[place] = worst
    return adjusted


def test_seeds_that_differ_widen_the_interval_of_a_difference() -> None:
    units = [f"u{place // 2:02d}" for place in range(120)]
    rng = np.random.default_rng(5)
    same = [bool(one) for one in rng.random(120) < 0.7]
    groups = ["f", "m"] * 60
    other = [r if g == "f" else bool(rng.random() < 0.3) for r, g in zip(same, groups, strict=True)]
    grouping = grouped(groups, "f", "m")
    steady = audited([predictions(units, same, seed) for seed in range(3)], grouping).groups[1]
    moving = audited(
        [predictions(units, one, seed) for seed, one in enumerate((same, same, other))], grouping
    ).groups[1]

    def width(group: Group) -> float:
        assert group.difference_low is not None
        assert group.difference_high is not None
        return group.difference_high - group.difference_low

    assert width(moving) > 1.5 * width(steady)


def test_a_group_of_few_units_has_no_p_value() -> None:
    units = [f"u{place // 10}" for place in range(120)]
    groups = ["f"] * 50 + ["m"] * 70  # five units and seven
    found = audited([predictions(units, [True, False] * 60)], grouped(groups, "f", "m"))
    assert [group.p for group in found.groups] == [None, None]
    assert found.groups[1].difference == pytest.approx(0)
    assert found.groups[1].difference_low is None


def audit_tables(**changed: Any) -> dict[str, Any]:
    one = {
        "title": "Groups",
        "kind": "audit",
        "sources": {"text": "table_02.batch_16", "other": "table_04.batch_16"},
        "metrics": {"test/weighted_f1": "F1"},
        "by": ["length"],
    }
    return {"audit": {**one, **changed}}


def by_place(run: Any, names: Any, speakers: Mapping[str, Any], split: str) -> list[Grouping]:
    keys = run.logits(split)["key"]
    of = {key: ("even", "odd")[int(key[-1]) % 2] for key in keys}
    return [Grouping("length", "By length", ("even", "odd"), of)]


def no_corpus(*_: Any) -> list[Grouping]:
    raise NotPrepared("no corpus here")


@pytest.mark.slow
def test_a_declared_audit_is_printed_and_kept(render: Make, runs: Any, tables: Any) -> None:
    declared = {**tables, **audit_tables()}
    out = render("audit", tables=declared, find_groupings=by_place)
    grid = grid_of(out / "audit/table.md")
    assert grid[""][1:5] == ["model", "n", "units", "F1"]
    lines = results(out / "audit/results.csv")
    assert [f"{line['model']} {line['group']}" for line in lines] == [
        *("text even", "text odd", "other even", "other odd")
    ]
    text = (out / "audit/table.md").read_text()
    assert f"{float(lines[0]['value']):.4f} [" in text
    assert "Holm p is adjusted for the 2 tests of this audit." in text
    kept = json.loads((out / "audits.json").read_text())["audit"]
    assert "test/dia" not in json.dumps(kept)  # nothing about single utterances


def test_a_kept_audit_is_printed_where_the_corpus_is_not(
    render: Make, runs: Any, make_run: Make, tables: Any
) -> None:
    from meld_lightning.report.study_audit import kept_audits

    declared = {**tables, **audit_tables()}
    out = render("audit", tables=declared, find_groupings=by_place)
    files = {path.name: path.read_bytes() for path in (out / "audit").iterdir()}
    elsewhere = {"tables": declared, "find_groupings": no_corpus, "kept_audits": kept_audits(out)}
    render("audit", **elsewhere)
    assert {path.name: path.read_bytes() for path in (out / "audit").iterdir()} == files
    not_computed = "Not computed yet: it needs all runs of text, other"
    # of other groups, then of other runs: not what was kept
    regrouped = {"tables": {**tables, **audit_tables(by=["length", "position"])}}
    render("audit", **{**elsewhere, **regrouped})
    assert not_computed in (out / "audit/table.md").read_text()
    runs["table_02", "batch_16"] = [make_run("another", 0.7)]
    render("audit", **elsewhere)
    assert not_computed in (out / "audit/table.md").read_text()


def test_every_table_can_be_split_by_groups(render: Make, study: Any) -> None:
    split = {**study, "split_by": ["length"]}
    plain = grid_of(render("table_03") / "table_03/table.md")
    out = render("table_03", study=split, find_groupings=by_place)
    text = (out / "table_03/table.md").read_text()
    assert "**By length: accuracy**" in text
    further = grid_of(out / "table_03/table.md", -1)
    assert list(further) == list(plain)
    assert [column.split(", n ")[0] for column in further[""][1:]] == ["even", "odd"]
    out = render("table_03", study=split, find_groupings=no_corpus)
    assert "Not split by length: no corpus here." in (out / "table_03/table.md").read_text()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"by": ["sex"]}, "table.audit.by.0 is 'sex', expected 'speaker', 'each_speaker'"),
        ({"by": []}, "table.audit.by is missing"),
        ({"sources": {}}, "table.audit.sources is missing"),
        ({"metrics": {"val/loss": "loss"}}, "expected one <split>/<name> of val or test"),
        ({"speakers": {"sex": "odd"}}, "table.audit.speakers.sex is 'odd'"),
        ({"speakers": ["odd"]}, "table.audit.speakers is ['odd'], expected a mapping"),
    ],
)
def test_a_wrong_declaration_is_refused(changed: dict[str, Any], said: str, tables: Any) -> None:
    with pytest.raises(UserError) as refused:
        read_tables({**tables, **audit_tables(**changed)})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)

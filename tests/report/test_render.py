"""Rendering as a whole: the files it leaves, and the runs it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from meld_lightning.errors import UserError

Make = Callable[..., Any]
Spec = dict[str, Any]


def test_readme_holds_every_table_rendered_so_far(render: Make, tables: Spec) -> None:
    names = ["table_01", "table_03", "table_07"]
    render("table_03", "table_01")
    text = (render("table_07") / "README.md").read_text()
    assert text.count("Says nothing about MELD.") == 1
    assert text.startswith("# The mini corpus\n\nSays nothing about MELD.\n")
    places = [text.index(f"## {tables[name]['title']}") for name in names]
    assert places == sorted(places)
    assert "Note 7. SACL-LSTM" in text


def test_a_note_of_several_paragraphs_stands_at_the_top_alone(render: Make, study: Spec) -> None:
    note = "Says nothing about MELD.\n\nNor about anything else.\n"
    text = (render("table_03", study={**study, "note": note}) / "README.md").read_text()
    assert text.startswith(f"# The mini corpus\n\n{note}")
    assert text.count("Nor about anything else.") == 1


@pytest.mark.slow
def test_rendering_twice_gives_the_same_bytes(render: Make, tables: Spec) -> None:
    def contents() -> dict[str, bytes]:
        out = render(*tables)
        return {
            str(path.relative_to(out)): path.read_bytes()
            for path in sorted(out.rglob("*"))
            if path.is_file()
        }

    first = contents()
    assert (
        len(first) == 10 * 3 + 3 * 2 + 1
    )  # a table is three files, a figure that cannot be drawn two
    assert contents() == first


@pytest.mark.slow
def test_latex_is_balanced_and_escaped(
    render: Make, tables: Spec, study: Spec, runs: Any, make_run: Make
) -> None:
    for key in list(runs):
        runs[key] += [make_run("more" + "-".join(key), 0.5, 2)]
    study = {**study, "note": r"50 % of $x$ & {a_b} #1 ~ ^ \ ±", "compare_to_paper": True}
    out = render(*tables, study=study, seeds=[1, 2])
    for path in sorted(out.glob("*/table.tex")):
        text = path.read_text()
        assert (
            r"50 \% of \$x\$ \& \{a\_b\} \#1 \textasciitilde{} \textasciicircum{} \textbackslash{}"
            r" $\pm$" in text
        )
        begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
        assert sorted(begun) == sorted(ended)
        bare = re.sub(r"\\[&%$#_{}]", "", text)  # without what is escaped
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
        assert text.isascii()
        for spec, body in re.findall(r"\\begin{tabular}{(\w+)}\n(.*?)\\end{tabular}", text, re.S):
            rows = [line for line in body.splitlines() if line.endswith(r"\\")]
            assert len(rows) >= 3
            assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in rows} == {len(spec)}


def test_runs_that_do_not_belong_together_are_refused(
    render: Make, runs: Any, make_run: Make
) -> None:
    key = ("table_02", "batch_16")
    fewer = ["neutral", "joy", "surprise", "anger", "disgust", "sadness", "fear"]
    for changed, message in (
        ({"corpus": "bad"}, "corpus digest"),
        ({"labels": fewer}, "label order"),
        ({"majority": "joy"}, "most common train label"),
        ({"dialogues": 39}, "different utterances"),
    ):
        other = make_run(f"other{message[:5]}", **changed)
        with pytest.raises(UserError, match=message) as caught:
            render("table_03", runs={**runs, key: [other]})
        assert str(other.folder) in str(caught.value)
        assert str(runs["table_02", "batch_8"][0].folder) in str(caught.value)


def test_a_seed_that_was_not_asked_for_or_comes_twice_is_refused(
    render: Make, runs: Any, make_run: Make
) -> None:
    key = ("table_02", "batch_16")
    with pytest.raises(UserError, match="seed 1 .* is not among the requested seeds"):
        render("table_03", seeds=[2])
    with pytest.raises(UserError, match="seed 1 of table_02.batch_16 is also the seed of "):
        render("table_03", runs={**runs, key: [*runs[key], make_run("again")]})
    with pytest.raises(UserError, match="study.seeds is empty"):
        render("table_03", seeds=[])


def test_logits_and_result_must_agree(render: Make, runs: Any) -> None:
    run = runs["table_02", "batch_8"][0]
    metrics = run.result.metrics
    metrics["test"]["accuracy"] += 0.001
    run.change(metrics=metrics)
    with pytest.raises(UserError, match=r"result.json says test/accuracy .*, its logits"):
        render("table_03")
    del metrics["test"]["accuracy"]
    run.change(metrics=metrics)
    with pytest.raises(UserError, match=r"has no metrics.test.accuracy"):
        render("table_03")


def test_runs_of_different_folds_never_share_a_table(
    render: Make, runs: Any, make_run: Make
) -> None:
    other = make_run("folded")
    other.change(fold=1)
    with pytest.raises(UserError, match=r"differ in fold \(None, 1\)"):
        render("table_03", runs={**runs, ("table_02", "batch_16"): [other]})

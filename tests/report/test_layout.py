"""Tables as printed: every figure is scikit-learn's on the same fake runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meld_lightning.report.comparisons import TESTED, comparisons
from meld_lightning.report.layout import p_text
from meld_lightning.report.markdown import readme_markdown
from meld_lightning.report.scored import scored
from meld_lightning.report.statistics import estimate, jackknife
from tests.report.conftest import grid_of, results

Make = Callable[..., Any]
Spec = dict[str, Any]


def test_figures_are_scikit_learns_beside_the_papers(
    render: Make, runs: Any, sklearn_metrics: Make
) -> None:
    out = render("table_02")
    found = grid_of(out / "table_02" / "table.md")
    run = runs["table_02", "batch_16"][0]
    expected = sklearn_metrics(run.logits("val"), run.result.labels)
    _, low, high = estimate(jackknife([scored(run, "val")])["weighted_f1"])
    assert found[""][:6] == ["row", "batch", "LR", "WD", "train loss", "val loss"]
    batch, rate, decay, *figures, n = found["batch_16"]
    assert (batch, rate, decay) == (
        "99",
        "3e-5",
        "0.01",
    )  # the run's own settings, whatever the row declares
    assert figures[:2] == ["0.5100", "1.0100"]
    printed = ["1.2752", "1.1007", "0.6411", "0.6082", "0.5937", "0.6411"]
    assert found["batch_16, paper"] == ["", "", "", *printed, ""]
    for text, name in zip(
        figures[2:],
        ("accuracy", "weighted_f1", "weighted_precision", "weighted_recall"),
        strict=True,
    ):
        assert text.split()[0] == f"{expected[name]:.4f}"
    assert figures[3] == f"{expected['weighted_f1']:.4f} [{low:.4f}, {high:.4f}]"
    assert n == str(len(run.logits("val")))
    assert (
        "Pretrained weights: bundled:tiny. n is the number of val utterances scored."
        in (out / "table_02" / "table.md").read_text()
    )


def test_every_row_is_tested_against_the_one_that_val_chose(render: Make, runs: Any) -> None:
    out = render("table_03", "table_02")
    for table, split in (("table_02", "val"), ("table_03", "test")):
        text = (out / table / "table.md").read_text()
        for metric in ("Weighted F1", "Accuracy"):
            caption = f"**{metric}: differences from batch_32, the row with the highest"
            assert f"{caption} val/weighted_f1**" in text
        assert ("The reference row was also chosen on val" in text) == (split == "val")
        chosen = scored(runs["table_02", "batch_32"][0], split)
        others = [scored(runs["table_02", row][0], split) for row in ("batch_8", "batch_16")]
        expected = comparisons([[*others[:1]], others[1:], [chosen.constant("neutral")]], [chosen])
        for grid, metric in enumerate(TESTED, start=1):
            found = grid_of(out / table / "table.md", grid=grid)
            assert list(found) == ["", "batch_8", "batch_16", "constant (neutral)"]
            assert found[""][1:] == ["difference", "simultaneous interval", "p", "Holm p"]
            for one, row in zip(expected, list(found.values())[1:], strict=True):
                test = one[metric]
                assert row == [
                    f"{test.value:+.4f} [{test.low:+.4f}, {test.high:+.4f}]",
                    f"[{test.low_simultaneous:+.4f}, {test.high_simultaneous:+.4f}]",
                    p_text(test.p, test.at_floor),
                    p_text(test.p_holm, test.holm_at_floor),
                ]
    assert "≤0.0" in text  # 200 resamples have a floor of 1 / 201
    assert r"$\leq$0.0" in (out / "table_03" / "table.tex").read_text()


def test_p_values_as_printed() -> None:
    assert p_text(0.03456) == "0.0346"
    assert p_text(1 / 5001, at_floor=True) == "≤0.0002"
    assert p_text(1e-9) == "<0.0001"
    assert p_text(None) == "too few units"


def test_published_tables_select_on_val_and_show_per_cent(
    render: Make, runs: Any, sklearn_metrics: Make
) -> None:
    found = grid_of(render("table_06") / "table_06" / "table.md")
    assert list(found)[1:] == [
        "RGAT",
        "BERT+MTL",
        "TRMSM-Att",
        "ERMC-DisGCN",
        "fine-tuned BERT (batch_32)",
        "constant (neutral)",
    ]
    run = runs["table_02", "batch_32"][0]
    expected = 100 * sklearn_metrics(run.logits("test"), run.result.labels)["weighted_f1"]
    assert found["RGAT"] == ["60.91", "—", "—"]
    paper, ours, n = found["fine-tuned BERT (batch_32)"]
    assert (paper, ours.split()[0], n) == ("62.04", f"{expected:.2f}", str(len(run.logits("test"))))
    assert re.fullmatch(r"\d+\.\d\d \[\d+\.\d\d, \d+\.\d\d\]", ours)


@pytest.mark.slow
def test_verdicts_only_where_the_study_may_claim_them(
    render: Make, study: Spec, tables: Spec
) -> None:
    out = render("table_03", "table_06")
    for name in ("table_03/table.md", "table_03/table.tex", "README.md"):
        text = (out / name).read_text()
        assert "Says nothing about MELD." in text
        assert "compared with the paper's" not in text
    tables["table_03"]["paper"]["batch_8"] = {
        "test/accuracy": "0.0001",
        "test/weighted_f1": "0.9999",
    }
    shown = grid_of(render("table_03") / "table_03" / "table.md")["batch_16"][6].split()[0]
    tables["table_03"]["paper"]["batch_16"]["test/weighted_f1"] = f"{float(shown) - 0.0005:.4f}"
    tables["table_06"]["paper"]["chosen"]["test/weighted_f1"] = "1.00"  # per cent
    text = (
        render("table_03", "table_06", study={**study, "compare_to_paper": True}) / "README.md"
    ).read_text()
    assert "- batch_8: accuracy above, F1 below\n" in text
    assert re.search(r"- batch_16: accuracy \w+, F1 within\n", text)
    assert "- fine-tuned BERT (batch_32): weighted F1 above\n" in text


def test_corpus_table(render: Make) -> None:
    found = grid_of(render("table_01") / "table_01" / "table.md")
    assert found == {
        "": ["split", "paper", "found here"],
        "train": ["9989", "400"],
        "val": ["1112", "120"],
        "test": ["4807", "300"],
    }
    counts = {"train": 9989, "val": 1109, "test": 2610}
    meld = {"table_01": {"paper": counts, "official": counts, "found": counts}}
    out = render("table_01", corpus_report=meld)
    assert grid_of(out / "table_01" / "table.md")["test"] == ["4807", "2610", "2610"]
    row = results(out / "table_01" / "results.csv")[1]
    assert (row["row"], row["split"], row["metric"], row["value"], row["n"]) == (
        "found",
        "val",
        "utterances",
        "1109",
        "1109",
    )
    nothing = render("table_01", corpus_report=None) / "table_01" / "table.md"
    assert grid_of(nothing)["test"] == ["4807", "missing"]


def test_a_study_may_leave_the_papers_figures_out(render: Make, runs: Any, study: Spec) -> None:
    out = render(
        "table_01", "table_02", "table_03", "table_06", study=study | {"show_paper": False}
    )
    assert grid_of(out / "table_01" / "table.md")[""] == ["split", "found here"]
    assert "batch_16, paper" not in grid_of(out / "table_02" / "table.md")
    assert grid_of(out / "table_03" / "table.md")[""][-3:] == ["accuracy", "F1", "n"]
    assert list(grid_of(out / "table_06" / "table.md"))[1:] == [
        "fine-tuned BERT (batch_32)",
        "constant (neutral)",
    ]


def test_a_note_of_several_tables_stands_once_in_the_readme(render: Make, runs: Any) -> None:
    out = render("table_02", "table_03")
    own = [(out / name / "table.md").read_text() for name in ("table_02", "table_03")]
    notes = [{line for line in text.splitlines() if line.startswith("- Note")} for text in own]
    both = notes[0] & notes[1]
    assert both
    readme = (out / "README.md").read_text()
    _, _, shared = readme.partition("## Remarks on several tables")
    for note in both:
        assert readme.count(note) == 1
        assert note in shared
    for note in notes[0] ^ notes[1]:
        assert readme.count(note) == 1
        assert note not in shared


def test_a_remark_of_several_tables_names_them(tmp_path: Path) -> None:
    for name, title, own in (
        ("a", "Table 2: training", "Losses are means."),
        ("b", "Voices: eight emotions", "There are two folds."),
        ("c", "Table 4: test", "There are two folds."),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "table.md").write_text(f"# {title}\n\nA study.\n\n{own}\n")
    readme = readme_markdown(tmp_path, {"title": "Mine", "note": "A study.", "tables": []})
    _, _, shared = readme.partition("## Remarks on several tables\n\n")
    assert shared == "*Voices: eight emotions; Table 4.* There are two folds.\n"
    assert readme.count("There are two folds.") == 1
    assert readme.index("Losses are means.") < readme.index("## Voices")

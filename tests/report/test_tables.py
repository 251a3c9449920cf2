"""Rendered tables: every figure is scikit-learn's on the same fake runs."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meld_lightning.report import statistics as st
from meld_lightning.study.plan import needed_rows

Make = Callable[..., Any]
Spec = dict[str, Any]


def grid_of(path: Path, grid: int = 0) -> dict[str, list[str]]:
    """The rows of a Markdown file's grid number `grid`, by their first cell; the headers under
    ''."""
    grids: list[list[list[str]]] = []
    last = ""
    for line in path.read_text().splitlines():
        if line.startswith("|:"):
            continue
        if line.startswith("| "):
            if not last.startswith("|"):
                grids.append([])
            grids[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        last = line
    headers, *rows = grids[grid]
    return {"": headers, **{row[0]: row[1:] for row in rows}}


def results(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_figures_are_scikit_learns_beside_the_papers(
    render: Make, runs: Any, sklearn_metrics: Make
) -> None:
    out = render("table_02")
    found = grid_of(out / "table_02" / "table.md")
    run = runs["table_02", "batch_16"][0]
    expected = sklearn_metrics(run.logits("val"), run.result["labels"])
    low, high = st.bootstrap([st.scored(run, "val")])["weighted_f1"]
    assert found[""][:8] == [
        "row",
        "batch",
        "LR",
        "WD",
        "train loss, paper",
        "ours",
        "val loss, paper",
        "ours",
    ]
    batch, rate, decay, *figures, n = found["batch_16"]
    assert (batch, rate, decay) == (
        "99",
        "3e-5",
        "0.01",
    )  # the run's own settings, whatever the cell declares
    assert figures[:4] == ["1.2752", "0.5100", "1.1007", "1.0100"]
    assert figures[4::2] == ["0.6411", "0.6082", "0.5937", "0.6411"]
    for text, name in zip(
        figures[5::2],
        ("accuracy", "weighted_f1", "weighted_precision", "weighted_recall"),
        strict=True,
    ):
        assert text.split()[0] == f"{expected[name]:.4f}"
    assert figures[7] == f"{expected['weighted_f1']:.4f} [{low:.4f}, {high:.4f}]"
    assert n == str(len(run.logits("val")))
    assert (
        "Pretrained weights: bundled:tiny. n is the number of val utterances scored."
        in (out / "table_02" / "table.md").read_text()
    )


def test_baseline_predicts_trains_majority_even_where_the_split_has_another(
    render: Make, make_run: Make, tables: Spec, sklearn_metrics: Make
) -> None:
    keys = needed_rows(tables, ["table_03"])
    runs = {
        key: [make_run("b" + key[1], 0.5 + place / 10, majority="joy")]
        for place, key in enumerate(keys)
    }
    found = grid_of(render("table_03", runs=runs) / "table_03" / "table.md")
    frame, labels = (
        runs["table_02", "batch_8"][0].logits("test"),
        runs["table_02", "batch_8"][0].result["labels"],
    )
    frame[labels] = np.eye(len(labels))[labels.index("joy")]
    expected = sklearn_metrics(frame, labels)
    *settings, paper, accuracy, _, f1, n = found["constant (joy)"]
    assert [*settings, paper] == ["—"] * 4
    assert accuracy.split()[0] == f"{expected['accuracy']:.4f}"
    constant = st.scored(runs["table_02", "batch_8"][0], "test").constant("joy")
    low, high = st.bootstrap([constant])["weighted_f1"]
    assert f1 == f"{expected['weighted_f1']:.4f} [{low:.4f}, {high:.4f}]"
    assert n == str(len(frame))


def test_every_row_is_tested_against_the_one_that_val_chose(render: Make, runs: Any) -> None:
    out = render("table_03", "table_02")
    for table, split in (("table_02", "val"), ("table_03", "test")):
        text = (out / table / "table.md").read_text()
        assert "**Differences from batch_32, the row with the highest val/weighted_f1**" in text
        assert ("The reference row was also chosen on val" in text) == (split == "val")
        found = grid_of(out / table / "table.md", grid=1)
        assert list(found) == ["", "batch_8", "batch_16", "constant (neutral)"]
        chosen = st.scored(runs["table_02", "batch_32"][0], split)
        others = [st.scored(runs["table_02", cell][0], split) for cell in ("batch_8", "batch_16")]
        others.append(chosen.constant("neutral"))
        differences = [st.paired_bootstrap([one], [chosen], "weighted_f1") for one in others]
        p_values = [one.p for one in differences] + [st.mcnemar(one, chosen) for one in others]
        adjusted = st.holm(p_values)
        for place, row in enumerate(list(found.values())[1:]):
            assert row[0].split()[0] == f"{differences[place].value:+.4f}"
            shown = [p_values[place], adjusted[place], p_values[place + 3], adjusted[place + 3]]
            assert row[1:] == ["<0.0001" if p < 1e-4 else f"{p:.4f}" for p in shown]


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
    expected = 100 * sklearn_metrics(run.logits("test"), run.result["labels"])["weighted_f1"]
    assert found["RGAT"] == ["60.91", "—", "—"]
    paper, ours, n = found["fine-tuned BERT (batch_32)"]
    assert (paper, ours.split()[0], n) == ("62.04", f"{expected:.2f}", str(len(run.logits("test"))))
    assert re.fullmatch(r"\d+\.\d\d \[\d+\.\d\d, \d+\.\d\d\]", ours)


def test_selection_never_looks_at_test(render: Make, runs: Any) -> None:
    """The row with the best val and the worst test is chosen."""
    run = runs["table_02", "batch_8"][0]
    result = run.result
    result["metrics"]["val"]["weighted_f1"] = 0.99
    (run.folder / "result.json").write_text(json.dumps(result))
    text = (render("table_06") / "table_06" / "table.md").read_text()
    assert "fine-tuned BERT (batch_8)" in text
    chosen_from = [
        row
        for row in results(render("table_06") / "table_06" / "results.csv")
        if row["split"] == "val"
    ]
    assert [row["row"] for row in chosen_from] == ["batch_8", "batch_16", "batch_32"]
    assert chosen_from[0]["value"] == "0.990000"


def test_nothing_is_selected_while_a_row_is_missing(render: Make, runs: Any) -> None:
    del runs["table_02", "batch_8"]
    found = grid_of(render("table_06") / "table_06" / "table.md")
    assert found["fine-tuned BERT"] == ["62.04", "missing 1 of 3 candidate rows", "—"]
    assert found["constant (neutral)"][1] != "—"


def test_several_seeds_give_mean_spread_and_the_interval_of_the_mean(
    render: Make, runs: Any, make_run: Make, sklearn_metrics: Make
) -> None:
    for key in list(runs):
        runs[key] += [make_run("more" + "-".join(key), 0.5, seed) for seed in (3, 2)]
    out = render("table_03", "table_02", seeds=[1, 2, 3])
    of_cell = runs["table_02", "batch_16"]
    values = [
        sklearn_metrics(run.logits("test"), run.result["labels"])["weighted_f1"] for run in of_cell
    ]
    low, high = st.bootstrap([st.scored(run, "test") for run in of_cell])["weighted_f1"]
    expected = f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} [{low:.4f}, {high:.4f}]"
    assert grid_of(out / "table_03" / "table.md")["batch_16"][-2] == expected
    assert (
        grid_of(out / "table_02" / "table.md")["batch_16"][4] == "0.5200 ± 0.0100"
    )  # losses .51, .53, .52
    assert "McNemar p (seed 1)" in (out / "table_03" / "table.md").read_text()
    rows = [row for row in results(out / "table_03" / "results.csv") if row["row"] == "batch_16"]
    assert [row["seed"] for row in rows if row["metric"] == "accuracy"] == ["1", "2", "3", ""]
    by_seed = {row["seed"]: row for row in rows if row["metric"] == "weighted_f1"}
    assert float(by_seed["3"]["value"]) == pytest.approx(
        values[1], abs=1e-6
    )  # joined by seed, not by order
    assert float(by_seed["3"]["low"]) == pytest.approx(
        st.bootstrap([st.scored(of_cell[1], "test")])["weighted_f1"][0], abs=1e-6
    )
    mean = by_seed[""]
    assert [float(mean[name]) for name in ("value", "low", "high")] == pytest.approx(
        [np.mean(values), low, high], abs=1e-6
    )


def test_a_missing_seed_is_never_a_shorter_mean(render: Make, runs: Any, make_run: Make) -> None:
    for key in list(runs):
        runs[key] += [make_run("more" + "-".join(key), 0.5, seed) for seed in (2, 3)]
    del runs["table_02", "batch_32"][1:]
    del runs["table_02", "batch_8"][:]
    out = render("table_03", seeds=[1, 2, 3])
    found = grid_of(out / "table_03" / "table.md")
    missing = "missing 2 of 3 seeds"
    assert found["batch_32"] == ["99", "3e-5", "0.01", "0.6475", missing, "0.6204", missing, "—"]
    assert found["batch_8"][:5] == ["8", "2e-4", "0.01", "0.6325", "missing 3 of 3 seeds"]
    rows = results(out / "table_03" / "results.csv")
    assert {row["seed"] for row in rows if row["row"] == "batch_32"} == {
        "1"
    }  # kept as evidence, without a mean
    tests = grid_of(out / "table_03" / "table.md", grid=1)
    assert list(tests) == ["", "constant (neutral)"]
    assert (
        "Differences from batch_16, the row with the highest val/weighted_f1 (2 of 4 rows are not"
        " available)" in (out / "table_03" / "table.md").read_text()
    )


def test_without_any_run_everything_is_missing(render: Make) -> None:
    out = render("table_02", "table_06", runs={})
    assert grid_of(out / "table_02" / "table.md")["batch_8"][3:6] == [
        "0.7223",
        "missing",
        "1.1372",
    ]
    assert grid_of(out / "table_02" / "table.md")["constant baseline"][-1] == "—"
    assert results(out / "table_02" / "results.csv") == []


def test_own_rows_and_rows_that_the_study_does_not_run(
    render: Make, runs: Any, tables: Spec, make_run: Make
) -> None:
    tables["table_02"]["rows"] |= {"own": ["model=minilm"], "batch_8": None}
    del runs["table_02", "batch_8"]
    runs["table_02", "own"] = [make_run("own", 0.7)]
    out = render("table_03", "table_06")
    found = grid_of(out / "table_03" / "table.md")
    assert found["own"][3] == "—"
    assert found["own"][4].startswith("0.")
    assert found["batch_8"][4] == "not run"
    published = grid_of(out / "table_06" / "table.md")
    assert (
        published["fine-tuned BERT (batch_32)"][0] == "62.04"
    )  # the paper's figure never stands beside an own row
    assert published["the study's own row (own)"][0] == "—"


def test_results_are_the_long_form(render: Make, runs: Any) -> None:
    rows = results(render("table_02") / "table_02" / "results.csv")
    assert list(rows[0]) == [
        "row",
        "seed",
        "fold",
        "split",
        "metric",
        "value",
        "low",
        "high",
        "n",
        "run",
        "commit",
    ]
    run = runs["table_02", "batch_8"][0]
    first = rows[0]
    assert (first["row"], first["split"], first["metric"]) == ("batch_8", "train", "fit_loss")
    assert (first["value"], first["low"], first["n"]) == ("0.510000", "", "999")
    assert (first["run"], first["commit"]) == (run.result["hash"], "abc123")
    scored = next(row for row in rows if row["metric"] == "weighted_f1")
    assert float(scored["value"]) == pytest.approx(
        run.result["metrics"]["val"]["weighted_f1"], abs=1e-6
    )
    assert float(scored["low"]) < float(scored["value"]) < float(scored["high"])
    assert {row["seed"] for row in rows if row["row"] == "baseline"} == {""}
    assert len(rows) == 3 * 2 * 6 + 4


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

"""The rows of a table: selection on val, means over seeds, missing runs, the constant baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from meld_lightning.report.scored import scored
from meld_lightning.report.statistics import estimate, jackknife
from meld_lightning.runs.logits import logit_columns
from meld_lightning.study.plan import needed_rows
from tests.report.conftest import grid_of, results

Make = Callable[..., Any]
Spec = dict[str, Any]


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
        list(runs["table_02", "batch_8"][0].result.labels),
    )
    frame[logit_columns(labels)] = np.eye(len(labels))[labels.index("joy")]
    expected = sklearn_metrics(frame, labels)
    *settings, paper, accuracy, _, f1, n = found["constant (joy)"]
    assert [*settings, paper] == ["—"] * 4
    assert accuracy.split()[0] == f"{expected['accuracy']:.4f}"
    constant = scored(runs["table_02", "batch_8"][0], "test").constant("joy")
    _, low, high = estimate(jackknife([constant])["weighted_f1"])
    assert f1 == f"{expected['weighted_f1']:.4f} [{low:.4f}, {high:.4f}]"
    assert n == str(len(frame))


def test_selection_never_looks_at_test(render: Make, runs: Any) -> None:
    """The row with the best val and the worst test is chosen."""
    run = runs["table_02", "batch_8"][0]
    metrics = run.result.metrics
    metrics["val"]["weighted_f1"] = 0.99
    run.change(metrics=metrics)
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


@pytest.mark.slow
def test_several_seeds_give_mean_spread_and_the_interval_of_the_mean(
    render: Make, runs: Any, make_run: Make, sklearn_metrics: Make
) -> None:
    for key in list(runs):
        runs[key] += [make_run("more" + "-".join(key), 0.5, seed) for seed in (3, 2)]
    out = render("table_03", "table_02", seeds=[1, 2, 3])
    of_row = runs["table_02", "batch_16"]
    values = [
        sklearn_metrics(run.logits("test"), run.result.labels)["weighted_f1"] for run in of_row
    ]
    _, low, high = estimate(jackknife([scored(run, "test") for run in of_row])["weighted_f1"])
    expected = f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} [{low:.4f}, {high:.4f}]"
    assert grid_of(out / "table_03" / "table.md")["batch_16"][-2] == f"{expected} *"
    assert (
        grid_of(out / "table_02" / "table.md")["batch_16"][3] == "0.5200 ± 0.0100"
    )  # losses .51, .53, .52
    rows = [row for row in results(out / "table_03" / "results.csv") if row["row"] == "batch_16"]
    assert [row["seed"] for row in rows if row["metric"] == "accuracy"] == ["1", "2", "3", ""]
    by_seed = {row["seed"]: row for row in rows if row["metric"] == "weighted_f1"}
    assert float(by_seed["3"]["value"]) == pytest.approx(
        values[1], abs=1e-6
    )  # joined by seed, not by order
    assert float(by_seed["3"]["low"]) == pytest.approx(
        estimate(jackknife([scored(of_row[1], "test")])["weighted_f1"])[1], abs=1e-6
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
        "Weighted F1: differences from batch_16, the row with the highest"
        " val/weighted_f1 (2 of 4 rows are not available)"
        in (out / "table_03" / "table.md").read_text()
    )


def test_without_any_run_everything_is_missing(render: Make) -> None:
    out = render("table_02", "table_06", runs={})
    assert grid_of(out / "table_02" / "table.md")["batch_8"][3:5] == ["missing", "missing"]
    assert grid_of(out / "table_02" / "table.md")["batch_8, paper"][3:5] == ["0.7223", "1.1372"]
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

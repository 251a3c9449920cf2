"""results.csv of a table: one line per row, seed and metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.report.conftest import results

Make = Callable[..., Any]
Spec = dict[str, Any]


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
    assert (first["run"], first["commit"]) == (run.result.hash, "abc123")
    scored = next(row for row in rows if row["metric"] == "weighted_f1")
    assert float(scored["value"]) == pytest.approx(
        run.result.metrics["val"]["weighted_f1"], abs=1e-6
    )
    assert float(scored["low"]) < float(scored["value"]) < float(scored["high"])
    assert {row["seed"] for row in rows if row["row"] == "baseline"} == {""}
    assert len(rows) == 3 * 2 * 6 + 4

"""The figure of intervals: it shows the numbers of the table that it draws, and says what is
missing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.report.conftest import results

Make = Callable[..., Any]
Spec = dict[str, Any]


@pytest.fixture
def with_overview(tables: Spec) -> Spec:
    spec = {
        "title": "Overview",
        "kind": "intervals",
        "from": "table_02",
        "metrics": {"test/weighted_f1": "weighted F1"},
    }
    return {**tables, "overview": spec}


@pytest.mark.slow
def test_it_draws_the_numbers_of_the_table(render: Make, with_overview: Spec) -> None:
    out = render("overview", "table_03", tables=with_overview)
    weighted_f1 = [
        line
        for line in results(out / "table_03" / "results.csv")
        if line["metric"] == "weighted_f1"
    ]
    assert results(out / "overview" / "results.csv") == weighted_f1
    picture = (out / "overview" / "figure.svg").read_text()
    texts = re.findall(r">([^<>]+)</text>", picture)
    means = {line["row"]: f"{float(line['value']):.3f}" for line in weighted_f1 if not line["seed"]}
    *models, baseline = means
    assert baseline == "baseline"
    assert [text for text in texts if text in models] == models
    shown = [text for text in texts if re.fullmatch(r"0\.\d{3}", text)]
    assert shown == [means[model] for model in models]
    assert f"constant (neutral) {means[baseline]}" in texts
    assert any(f"on {weighted_f1[0]['n']} test utterances" in text for text in texts)


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes(render: Make, with_overview: Spec) -> None:
    def drawn() -> list[bytes]:
        folder = render("overview", tables=with_overview) / "overview"
        return [(folder / f"figure.{kind}").read_bytes() for kind in ("png", "svg")]

    assert drawn() == drawn()


@pytest.mark.slow
def test_no_mean_is_drawn_while_a_seed_is_missing(
    render: Make, with_overview: Spec, runs: Any
) -> None:
    folder = render("overview", tables=with_overview) / "overview"
    assert (folder / "figure.png").is_file()
    del runs["table_02", "batch_16"]
    render("overview", tables=with_overview, runs=runs)
    assert not list(folder.glob("figure.*"))
    assert "Not drawn: no runs yet for batch_16." in (folder / "table.md").read_text()

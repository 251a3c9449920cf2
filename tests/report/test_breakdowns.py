"""The grids below a table: scores by class, and what a fusion found out about its modalities."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import classification_report

from meld_lightning.runs.logits import logits_of
from tests.report.conftest import grid_of

Make = Callable[..., Any]
Spec = dict[str, Any]

FUSION = {
    "modalities": ["text", "audio"],
    "chosen": "learned",
    "cross_validated": {"learned": 0.61, "text alone": 0.6},
    "nested": {"val/weighted_f1": 0.59, "chosen_without_fold": ["learned", "text alone"]},
    "runs": {"text": 0.6, "audio": 0.4},
    "better_run": None,
    "alternatives": {"text": 5},
    "fitted": {"weights": {"text": 0.75, "audio": 0.25}},
    "fixes": {"text": {"wrong": 40, "audio": 7}, "audio": {"wrong": 90, "text": 57}},
    "oracle": 0.875,
    "n": 264,
    "calibration": {
        "text": {"before": 0.2, "after": 0.1},
        "audio": {"before": 0.3, "after": 0.05},
        "fused": {"after": 0.04},
    },
}


def test_scores_by_class_are_scikit_learns(render: Make, make_run: Make) -> None:
    run = make_run("wav2vec2", 0.4)
    out = render("table_08", runs={("table_08", "wav2vec2"): [run]})
    frame, labels = run.logits("test"), list(run.result.labels)
    predicted = np.array(labels)[logits_of(frame, labels).argmax(1)]
    expected = classification_report(
        frame["label"], predicted, labels=labels, output_dict=True, zero_division=0
    )
    text = (out / "table_08" / "table.md").read_text()
    assert "**wav2vec2, by class**" in text
    found = grid_of(out / "table_08" / "table.md", grid=3)
    assert found[""] == ["class", "precision", "recall", "F1", "n"]
    for label in labels:
        scores = [expected[label][name] for name in ("precision", "recall", "f1-score")]
        assert found[label][:3] == [f"{score:.4f}" for score in scores]
        assert found[label][3] == f"{expected[label]['support']:.0f}"


def test_a_fusion_says_what_it_chose_what_others_would_fix_and_how_it_is_calibrated(
    render: Make, make_run: Make
) -> None:
    run = make_run("fusion", 0.7)
    run.change(modality="fusion")
    (run.folder / "fusion.json").write_text(json.dumps(FUSION))
    optimum = {"test": {"fused": {"expected": 0.9, "realised": 0.91}}}
    out = render(
        "table_10", runs={("table_10", "T+A+V"): [run]}, corpus_report={"optimum": optimum}
    )
    path = out / "table_10" / "table.md"
    text = path.read_text()
    assert (
        "**Candidates for T+A+V on val (seed 1). Chosen: learned, with weights text 0.75, audio"
        " 0.25**" in text
    )
    assert grid_of(path, grid=3) == {
        "": ["candidate", "cross-validated val/weighted_f1"],
        "learned": ["0.6100"],
        "text alone": ["0.6000"],
        "choice included (nested)": ["0.5900"],
    }
    assert (
        "**Errors another modality would fix on test (seed 1). At least one modality is correct"
        " for 87.5% of 264 utterances**" in text
    )
    assert grid_of(path, grid=4) == {
        "": ["modality", "errors", "fixed by text", "fixed by audio"],
        "text": ["40", "", "7"],
        "audio": ["90", "57", ""],
    }
    assert grid_of(path, grid=5)["fused"] == ["", "0.0400"]
    assert "Chosen by cross-validation on val: T+A+V: learned (seed 1). A run alone is used" in text
    accuracy = run.result.metrics["test"]["accuracy"]
    assert f"T+A+V lies {0.9 - accuracy:.4f} [" in text


@pytest.mark.slow
def test_the_remark_says_what_each_seed_chose_and_where_a_run_alone_is_better(
    render: Make, make_run: Make
) -> None:
    runs: dict[tuple[str, str], list[Any]] = {}
    for row, chosen in (
        ("T+A", ["stacked", "text alone", "stacked"]),
        ("average", ["average"] * 3),
    ):
        for seed, name in enumerate(chosen, start=1):
            run = make_run(row, 0.6, seed=seed)
            run.change(modality="fusion")
            candidates = {name: 0.59} if row == "average" else FUSION["cross_validated"]
            better = "text" if row == "average" and seed > 1 else None
            details = {"chosen": name, "cross_validated": candidates, "better_run": better}
            (run.folder / "fusion.json").write_text(json.dumps({**FUSION, **details}))
            runs.setdefault(("table_10", row), []).append(run)
    out = render("table_10", runs=runs, seeds=[1, 2, 3])
    text = (out / "table_10" / "table.md").read_text()
    assert "on val: T+A: stacked (seeds 1, 3), text alone (seed 2). A run" in text
    assert "better on val than the fusion of the row: average: text (seeds 2, 3)." in text
    assert (
        text.count("The text run is the best of 6 on val, so its logits there are optimistic.") == 1
    )

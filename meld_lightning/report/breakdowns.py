"""Grids below a table: scores by class, and what a fusion found out about its modalities.

Reads rows and their runs' fusion.json, writes nothing. Used by report/layout.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from meld_lightning.metrics import by_class, confusion
from meld_lightning.report.page import Grid
from meld_lightning.report.rows import Row
from meld_lightning.study.sources import FinishedRun


def class_grid(row: Row) -> Grid:
    """Precision, recall and F1 of each class, means over seeds; defined as in scikit-learn's
    classification_report."""
    labels = row.scored[0].labels
    each = [by_class(confusion(one.true, one.predicted, len(labels))) for one in row.scored]
    mean = {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}
    body = [
        [
            label,
            *(f"{mean[name][place]:.4f}" for name in ("precision", "recall", "f1")),
            f"{mean['support'][place]:.0f}",
        ]
        for place, label in enumerate(labels)
    ]
    return Grid(f"{row.label}, by class", ["class", "precision", "recall", "F1", "n"], body)


def fusion_details(run: FinishedRun) -> dict[str, Any]:
    """fusion.json of a fusion run."""
    return dict(json.loads((Path(run.folder) / "fusion.json").read_text()))


def fusion_grids(row: Row) -> list[Grid]:
    """The candidates' scores on val, the errors that other modalities would fix, and calibration;
    all from the row's first seed."""
    run = row.runs[0]
    found = fusion_details(run)
    seed = f"seed {run.result.seed}"
    return [
        _candidates_grid(row, found, seed),
        _fixes_grid(found, seed),
        _calibration_grid(found, seed),
    ]


def _candidates_grid(row: Row, found: Mapping[str, Any], seed: str) -> Grid:
    weights = found["fitted"].get("weights", {})
    shown = ", ".join(f"{name} {value:.2f}" for name, value in weights.items())
    caption = f"Candidates for {row.label} on val ({seed}). Chosen: {found['chosen']}"
    return Grid(
        f"{caption}, with weights {shown}" if shown else caption,
        ["candidate", f"cross-validated {row.runs[0].result.best['monitor']}"],
        [[name, f"{value:.4f}"] for name, value in found["cross_validated"].items()],
    )


def _fixes_grid(found: Mapping[str, Any], seed: str) -> Grid:
    names = found["modalities"]
    caption = (
        f"Errors another modality would fix on test ({seed}). At least one modality is correct for"
        f" {found['oracle']:.1%} of {found['n']} utterances"
    )
    body = [
        [
            name,
            str(found["fixes"][name]["wrong"]),
            *(str(found["fixes"][name].get(other, "")) for other in names),
        ]
        for name in names
    ]
    return Grid(caption, ["modality", "errors", *(f"fixed by {name}" for name in names)], body)


def _calibration_grid(found: Mapping[str, Any], seed: str) -> Grid:
    body = [
        [name, f"{error['before']:.4f}" if "before" in error else "", f"{error['after']:.4f}"]
        for name, error in (
            (one, found["calibration"][one]) for one in (*found["modalities"], "fused")
        )
    ]
    return Grid(
        f"Expected calibration error on test, 15 bins ({seed})",
        ["modality", "before temperature", "after temperature"],
        body,
    )


def gap_remark(row: Row, optimum: Mapping[str, Any]) -> list[str]:
    """How far the row's test accuracy lies below the best that any model can expect, with its
    interval."""
    best, ours = optimum["test"]["fused"], row.mean["test/accuracy"]
    assert ours.low is not None
    assert ours.high is not None
    gap, low, high = (best["expected"] - value for value in (ours.value, ours.high, ours.low))
    return [
        f"The best accuracy that any model can expect on this corpus's test split is"
        f" {best['expected']:.4f} ({best['realised']:.4f} on the labels that were drawn);"
        f" {row.label} lies {gap:.4f} [{low:.4f}, {high:.4f}] below it."
    ]

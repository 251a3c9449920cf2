"""What stands below some tables: figures by class, and what a fusion found out about its
modalities.

Reads rows and fusion.json of their runs, writes nothing. Used by report/layout.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from meld_lightning.metrics import by_class, confusion
from meld_lightning.report.grid import Grid
from meld_lightning.report.rows import Row


def class_grid(row: Row) -> Grid:
    """Precision, recall and F1 of each class, means over seeds, as scikit-learn's
    classification_report has them."""
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


def fusion_of(run: Any) -> dict[str, Any]:
    """fusion.json of a fusion run."""
    return dict(json.loads((Path(run.folder) / "fusion.json").read_text()))


def fusion_grids(row: Row) -> list[Grid]:
    """Of the row's first seed: what was chosen among on val, whom the modalities could help, and
    their calibration."""
    found = fusion_of(row.runs[0])
    names = found["modalities"]
    scores = [[name, f"{value:.4f}"] for name, value in found["cross_validated"].items()]
    weights = found["fitted"].get("weights", {})
    shown = ", ".join(f"{name} {value:.2f}" for name, value in weights.items())
    caption = f"{row.label} is fitted on val: the best of these was {found['chosen']}"
    grids = [
        Grid(
            f"{caption} ({shown})" if shown else caption,
            ["candidate", f"{row.runs[0].result['best']['monitor']}, cross-validated"],
            scores,
        )
    ]
    fixes = [
        [
            name,
            str(found["fixes"][name]["wrong"]),
            *(str(found["fixes"][name].get(other, "")) for other in names),
        ]
        for name in names
    ]
    oracle = (
        f"Whom another modality could put right; some modality is right for {found['oracle']:.1%}"
        f" of {found['n']}"
    )
    grids.append(
        Grid(oracle, ["modality", "wrong", *(f"of these {name} right" for name in names)], fixes)
    )
    errors = [
        [name, f"{error['before']:.4f}" if "before" in error else "", f"{error['after']:.4f}"]
        for name, error in ((one, found["calibration"][one]) for one in (*names, "fused"))
    ]
    grids.append(
        Grid("Expected calibration error on test (15 bins)", ["logits", "before", "after"], errors)
    )
    return grids


def gap_remark(row: Row, optimum: Mapping[str, Any]) -> list[str]:
    """How far the row's accuracy on test lies below the best that any model can expect there, with
    its interval."""
    best, ours = optimum["test"]["fused"], row.mean["test/accuracy"]
    assert ours.low is not None
    assert ours.high is not None
    gap, low, high = (best["expected"] - value for value in (ours.value, ours.high, ours.low))
    return [
        f"The best possible accuracy on this corpus's test is {best['expected']:.4f} in expectation"
        f" ({best['realised']:.4f} on the labels drawn); {row.label} lies {gap:.4f} [{low:.4f},"
        f" {high:.4f}] below it."
    ]

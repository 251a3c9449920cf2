"""Grids below a table: scores by class, and what a fusion found out about its modalities.

Reads rows and their runs' fusion.json, writes nothing. Used by report/layout.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meld_lightning.metrics import by_class, confusion
from meld_lightning.report.folds import unpooled
from meld_lightning.report.page import Grid
from meld_lightning.report.rows import Row
from meld_lightning.study.sources import FinishedRun

Place = tuple[int, int | str | None]  # a run's seed, and its fold if a row has several


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
    """fusion.json of a fusion run, of one fold if there are several."""
    return dict(json.loads((Path(run.folder) / "fusion.json").read_text()))


def fusion_grids(row: Row) -> list[Grid]:
    """The candidates' scores on val, the errors that other modalities would fix, and calibration;
    all from the row's first seed and fold."""
    run, *others = unpooled(row.runs[0])
    found = fusion_details(run)
    where = f"seed {run.result.seed}" + (f", fold {run.result.fold}" if others else "")
    return [
        _candidates_grid(row, found, where),
        _fixes_grid(found, where),
        _calibration_grid(found, where),
    ]


def _candidates_grid(row: Row, found: Mapping[str, Any], where: str) -> Grid:
    weights = found["fitted"].get("weights", {})
    shown = ", ".join(f"{name} {value:.2f}" for name, value in weights.items())
    caption = f"Candidates for {row.label} on val ({where}). Chosen: {found['chosen']}"
    monitor = row.runs[0].result.best["monitor"]
    candidates = found["cross_validated"]
    nested = {"choice included (nested)": found["nested"][monitor]} if len(candidates) > 1 else {}
    return Grid(
        f"{caption}, with weights {shown}" if shown else caption,
        ["candidate", f"cross-validated {monitor}"],
        [[name, f"{value:.4f}"] for name, value in {**candidates, **nested}.items()],
    )


def _fixes_grid(found: Mapping[str, Any], where: str) -> Grid:
    names = found["modalities"]
    caption = (
        f"Errors another modality would fix on test ({where}). At least one modality is correct for"
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


def _calibration_grid(found: Mapping[str, Any], where: str) -> Grid:
    errors = {one: found["calibration"][one] for one in (*found["modalities"], "fused")}
    body = [
        [name, *(f"{error[when]:.4f}" if when in error else "" for when in ("before", "after"))]
        for name, error in errors.items()
    ]
    return Grid(
        f"Expected calibration error on test ({where}): {found['n']} utterances in 15 bins of"
        " confidence, without an interval",
        ["modality", "before temperature", "after temperature"],
        body,
    )


def choices_remark(rows: Sequence[Row]) -> list[str]:
    """What was chosen on val: each row's fusion by seed, and the runs that are fused; and which
    rows score below one of their own runs there. One paragraph; none without fusions."""
    found = {
        row.label: {
            place: fusion_details(run) for pooled in row.runs for place, run in _places(pooled)
        }
        for row in rows
        if row.runs and row.runs[0].result.modality == "fusion"
    }
    chosen = {
        label: _by_place({place: one["chosen"] for place, one in of_row.items()})
        for label, of_row in found.items()
        if any(len(one["cross_validated"]) > 1 for one in of_row.values())
    }
    below = {
        label: _by_place(
            {place: best for place, one in of_row.items() if (best := one["better_run"])}
        )
        for label, of_row in found.items()
    }
    sentences = []
    if chosen:
        shown = "; ".join(f"{label}: {choice}" for label, choice in chosen.items())
        sentences.append(
            f"Chosen by cross-validation on val: {shown}. A run alone is used exactly as it is. The"
            " val scores of these rows come from nested cross-validation, which repeats the choice"
            " without the fold that is scored."
        )
    if any(below.values()):
        shown = "; ".join(f"{label}: {best}" for label, best in below.items() if best)
        sentences.append(f"A run alone scores better on val than the fusion of the row: {shown}.")
    sentences += [
        f"The {name} run is the best of {number + 1} on val, so its logits there are optimistic."
        f" The fusions are fitted and chosen with other {name} logits: each fold of val is scored"
        " by the run that is best on the other folds."
        for name, number in _alternatives(found.values()).items()
    ]
    return [" ".join(sentences)] if sentences else []


def _places(run: FinishedRun) -> list[tuple[Place, FinishedRun]]:
    """The runs behind a row's run, by seed and, if there are several, by fold."""
    parts = unpooled(run)
    return [
        ((part.result.seed, part.result.fold if len(parts) > 1 else None), part) for part in parts
    ]


def _alternatives(found: Iterable[Mapping[Place, Mapping[str, Any]]]) -> dict[str, int]:
    """Modality -> the number of runs that its run was chosen over on val, where it was."""
    return {
        name: number
        for of_row in found
        for one in of_row.values()
        for name, number in one["alternatives"].items()
    }


def _by_place(values: Mapping[Place, str]) -> str:
    """Each value with its seeds, as in "stacked (seeds 1, 3), learned (seed 2)"; over folds as in
    "stacked (seed 1, folds 0, 2)"."""
    by_value: dict[str, dict[int, list[Any]]] = {}
    for (seed, fold), value in values.items():
        by_value.setdefault(value, {}).setdefault(seed, []).append(fold)
    return ", ".join(f"{value} ({_seeds_text(seeds)})" for value, seeds in by_value.items())


def _seeds_text(folds_of: Mapping[int, Sequence[Any]]) -> str:
    if all(folds == [None] for folds in folds_of.values()):
        return f"{_plural('seed', folds_of)} {', '.join(map(str, folds_of))}"
    return "; ".join(
        f"seed {seed}, {_plural('fold', folds)} {', '.join(map(str, folds))}"
        for seed, folds in folds_of.items()
    )


def _plural(noun: str, some: Collection[Any]) -> str:
    return noun if len(some) == 1 else f"{noun}s"


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

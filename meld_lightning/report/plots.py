"""The page's figures of runs as matplotlib figures, for notebooks and papers.

Reads the logits and the learning curve of finished runs; writes nothing. For users: every function
takes runs as `meld_lightning.load_run` gives them, several seeds of one row together, and returns a
matplotlib.figure.Figure, which a notebook shows and `savefig` writes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from meld_lightning.errors import UserError
from meld_lightning.metrics import confusion as confusion_counts
from meld_lightning.report.classes import BY_CLASS, class_estimates
from meld_lightning.report.colours import colour_of
from meld_lightning.report.figures import INK, draw_confusion
from meld_lightning.report.reliability import reliability as reliability_bins
from meld_lightning.report.scored import scored
from meld_lightning.study.sources import FinishedRun

DPI = 110  # of a picture in a notebook


class NotebookFigure(Figure):
    """A figure that a notebook shows, although pyplot does not know it and therefore never keeps
    it."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=DPI)
        return file.getvalue()


def confusion(*runs: FinishedRun, split: str = "test") -> Figure:
    """Counts above their share of the true label, summed over the runs."""
    found = [scored(run, split) for run in _some(runs)]
    labels = found[0].labels
    counts_KK = np.sum(
        [confusion_counts(one.true, one.predicted, len(labels)) for one in found], axis=0
    )
    figure, axes = _figure(3.6, 3.8)
    draw_confusion(axes, counts_KK, labels)
    axes.set(xlabel="predicted", ylabel="true", title=_title(runs))
    return figure


def classes(*runs: FinishedRun, split: str = "test", score: str = "f1") -> Figure:
    """F1, precision or recall of each label with 95 % intervals; the runs are seeds of one row."""
    if score not in BY_CLASS:
        raise UserError(f"score={score}: expected one of {', '.join(BY_CLASS)}")
    found = [scored(run, split) for run in _some(runs)]
    labels, estimates = found[0].labels, class_estimates(found)[score]
    colour = colour_of(runs[0].result.modality).light
    figure, axes = _figure(4.4, 0.34 * len(labels) + 1)
    for place, one in enumerate(estimates):
        if one.low is not None and one.high is not None:
            axes.plot((one.low, one.high), (place, place), color=colour, linewidth=2, alpha=0.5)
        axes.plot(one.value, place, "o", color=colour, markersize=5)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(ylim=(len(labels) - 0.5, -0.5), xlim=(0, 1), xlabel=score, title=_title(runs))
    axes.grid(axis="x", color="#EEEEEE")
    return figure


def reliability(*runs: FinishedRun, split: str = "test") -> Figure:
    """Accuracy at each confidence, the utterances of all runs together; a point's area is its
    number of utterances."""
    bins = reliability_bins(_some(runs), split)
    filled_B = bins.count_B > 0
    share_B = bins.count_B[filled_B] / bins.count_B.sum()
    colour = colour_of(runs[0].result.modality).light
    figure, axes = _figure(3.6, 3.6)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle="--")
    x_B, y_B = bins.confidence_B[filled_B], bins.accuracy_B[filled_B]
    axes.plot(x_B, y_B, color=colour, linewidth=1.2)
    axes.scatter(x_B, y_B, s=15 + 600 * share_B, color=colour, alpha=0.4)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    axes.set_title(f"{_title(runs)}: calibration error {bins.error:.3f}")
    return figure


def curve(*runs: FinishedRun, metric: str = "val/weighted_f1") -> Figure:
    """A column of metrics.csv by epoch, one line for each run, with a dot at the epoch that val
    chose. UserError for a run without epochs, such as a fusion."""
    figure, axes = _figure(4.4, 3)
    for run in _some(runs):
        with (Path(run.folder) / "metrics.csv").open(newline="", encoding="utf-8") as file:
            rows = [one for one in csv.DictReader(file) if one.get(metric) and one.get("epoch")]
        if not rows:
            raise UserError(f"{run.folder}: metrics.csv has no {metric} by epoch")
        value_of = {int(one["epoch"]): float(one[metric]) for one in rows}
        colour = colour_of(run.result.modality).light
        axes.plot(list(value_of), list(value_of.values()), color=colour, linewidth=1.2)
        chosen = run.result.best.get("epoch")
        if chosen in value_of:
            axes.plot(chosen, value_of[chosen], "o", color=colour, markersize=5)
    axes.set(xlabel="epoch", ylabel=metric, title=_title(runs))
    return figure


def _some(runs: Sequence[FinishedRun]) -> Sequence[FinishedRun]:
    if not runs:
        raise UserError("no run was given: pass one as load_run returns it")
    return runs


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of that size in inches."""
    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _title(runs: Sequence[FinishedRun]) -> str:
    first = runs[0].result
    seeds = ", ".join(str(run.result.seed) for run in runs)
    return f"{first.modality}-{first.model}, seed{'s' if len(runs) > 1 else ''} {seeds}"

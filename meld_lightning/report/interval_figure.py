"""Draws one metric of a table's rows: each row's mean with its interval, beside the constant
baseline.

Reads the rows of report/rows.py. Writes <out>/<figure>/figure.{png,svg}; the same rows give the
same bytes. Used by report/render.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meld_lightning.config.words import counted
from meld_lightning.report.figures import FRAME, GREY, INK, canvas
from meld_lightning.report.rows import Row
from meld_lightning.study.spec import BASELINE, Table


def draw_intervals(table: Table, rows: Sequence[Row], path: Path) -> None:
    """A point and its 95 % interval per row, in the table's order, under the table's first metric.

    The constant baseline is a dashed line. rows: complete ones, the baseline among them.
    """
    metric, header = next(iter(table.metrics.items()))
    models = [row for row in rows if row.key != BASELINE]
    (baseline,) = (row for row in rows if row.key == BASELINE)
    with canvas(path, (4.6, 0.34 * len(models) + 1.2)) as (_, axes):
        axis = axes[0, 0]
        constant = baseline.mean[metric].value
        axis.axvline(constant, color=GREY, linestyle="--", label=f"{baseline.label} {constant:.3f}")
        for place, row in enumerate(models):
            estimate = row.mean[metric]
            if estimate.low is not None:
                axis.plot((estimate.low, estimate.high), (place, place), color=FRAME, linewidth=2)
            axis.plot(estimate.value, place, "o", color=FRAME, markersize=5)
            axis.annotate(
                f"{estimate.value:.3f}",
                (estimate.value, place),
                (0, 5),
                textcoords="offset points",
                ha="center",
                color=INK,
            )
        axis.set_yticks(range(len(models)), [row.label for row in models])
        split, n = table.split, models[0].n
        seeds = counted(len(models[0].runs), "seed")
        axis.set(
            xlim=(0, 1),
            ylim=(len(models) - 0.5, -0.7),
            xlabel=f"{header} on {n} {split} utterances\nmean of {seeds}, 95 % interval",
        )
        axis.grid(axis="x", color="#EEEEEE")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))

"""Draws how each fusion's metric falls with the share of modalities that are missing.

Reads the curves of report/missing.py. Writes <out>/<table>/figure.{png,svg}; the same curves give
the same bytes. Used by report/render.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meld_lightning.report.figures import GREY, canvas
from meld_lightning.report.missing import SHARES, Robustness
from meld_lightning.study.spec import Table

# Paul Tol's "bright" scheme, which colour-blind readers can tell apart
COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#222222")
STYLES = ("-", "--", ":")  # a style for each round of the colours


def draw_missing(table: Table, found: Sequence[Robustness], path: Path) -> None:
    """A line with its 95 % interval for each fusion, and the constant baseline, which comes last in
    `found`, as a dashed line."""
    header = next(iter(table.metrics.values()))
    *fusions, baseline = found
    with canvas(path, (5.2, 3.4)) as (_, axes):
        axis = axes[0, 0]
        for place, one in enumerate(fusions):
            colour = COLOURS[place % len(COLOURS)]
            values = [estimate.value for estimate in one.by_share]
            ends = [(estimate.low, estimate.high) for estimate in one.by_share]
            if all(low is not None for low, _ in ends):
                low, high = zip(*ends, strict=True)
                axis.fill_between(SHARES, low, high, color=colour, alpha=0.12, linewidth=0)
            style = STYLES[place // len(COLOURS) % len(STYLES)]
            axis.plot(SHARES, values, style, color=colour, label=one.label, linewidth=1.4)
        constant = baseline.by_share[0].value
        axis.axhline(constant, color=GREY, linestyle="--", label=baseline.label)
        axis.set(
            xlim=(0, SHARES[-1]),
            ylim=(0, 1),
            xlabel=f"probability that a modality is missing ({baseline.n} test utterances)",
            ylabel=f"{header}, 95 % interval",
        )
        axis.grid(color="#EEEEEE")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

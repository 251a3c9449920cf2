"""Draws the answers to the windows of a clip over time: the waveform, and below it the probability
of each label.

Reads the clip's sound with PyAV, in pieces; writes one PNG, atomically. Used by the command
`predict`. output.py describes the answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meld_lightning.errors import UserError
from meld_lightning.inference.answers.output import LABEL, labels_of
from meld_lightning.inference.answers.terminal import visible
from meld_lightning.inference.items.windows import clock
from meld_lightning.media.errors import MediaError
from meld_lightning.media.waveform import iter_waveform
from meld_lightning.storage.atomic import atomic_write

RATE = 8000  # samples per second; the picture shows only their extremes
COLUMNS = 1200  # at least so many steps in a long waveform
BLOCK_S = 0.05  # the shortest step, of which the extremes are drawn
INK, WAVE, GAP = "#222222", "#8899AA", "#F4F4F4"
# Paul Tol's "muted" colours, which stay apart for the colour-blind, and two more
COLOURS = (
    *("#BBBBBB", "#DDCC77", "#332288", "#88CCEE", "#44AA99", "#117733", "#CC6677", "#AA4499"),
    *("#882255", "#999933", "#EE8866", "#555555"),
)


def draw_timeline(answers: pd.DataFrame, clip: str | Path, path: Path, title: str = "") -> None:
    """Writes the timeline of one clip's windows to `path`, whose name ends in .png.

    answers: the answers to the windows; those without a start and an end are not drawn. A window
    that was abstained from is hatched; times without a window, such as silences, are left blank.
    clip: the clip whose waveform is drawn; without sound the upper part is left out.

    Raises UserError if there are no windows or `path` cannot be written.
    """
    rows = answers[answers["start"].notna()].sort_values("start")
    if not len(rows):
        raise UserError(
            f"{path}: no windows to draw: {Path(clip).name} was answered as a whole; give"
            " windows=silence or windows=5, with a clip that makes at least two windows"
        )
    check_picture(path)
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    low, high, step = _extremes(clip)
    length = max(float(rows["end"].max()), len(low) * step)
    with mpl.rc_context({"font.size": 9, "text.color": INK, "hatch.linewidth": 0.6}):
        ratios = [1, 2.2] if len(low) else [2.2]
        figure, axes = plt.subplots(
            len(ratios), 1, figsize=(10, 1.6 + sum(ratios)), sharex=True, squeeze=False,
            height_ratios=ratios, layout="constrained",
        )  # fmt: skip
        if len(low):
            _draw_waveform(axes[0, 0], low, high, step)
        axis = axes[-1, 0]
        _draw_probabilities(axis, rows)
        axis.set(
            xlim=(0, length), ylim=(0, 1), ylabel="probability", xlabel="time (minutes:seconds)"
        )
        axis.xaxis.set_major_formatter(lambda value, _: clock(max(value, 0)).removesuffix(".0"))
        axes[0, 0].set_title(visible(title or Path(clip).name), loc="left", fontsize=10)
        handles, names = axis.get_legend_handles_labels()
        figure.legend(
            handles[::-1], names[::-1], loc="outside right upper", frameon=False
        )  # in the order of the stack
        with atomic_write(path) as fresh:
            figure.savefig(fresh, dpi=150, format="png")
        plt.close(figure)


def check_picture(path: Path) -> None:
    """Raises UserError unless a timeline can be written to `path`; to be called before the work."""
    if path.suffix.lower() != ".png":
        raise UserError(f"{path}: expected a name that ends in .png")
    if not path.parent.is_dir():
        raise UserError(f"{path}: no such folder as {path.parent}; make it first")


def _draw_waveform(axis: Any, low: np.ndarray, high: np.ndarray, step: float) -> None:
    times = (np.arange(len(low)) + 0.5) * step
    peak = max(float(np.abs(low).max()), float(np.abs(high).max()), 1e-6)
    axis.fill_between(times, low, high, color=WAVE, linewidth=0.3)
    axis.set(ylim=(-1.05 * peak, 1.05 * peak), yticks=[])
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_ylabel("sound")


def _draw_probabilities(axis: Any, rows: pd.DataFrame) -> None:
    """The labels' probabilities stacked, a block per window."""
    left = rows["start"].to_numpy(float)
    width = rows["end"].to_numpy(float) - left
    bottom = np.zeros(len(rows))
    for place, label in enumerate(labels_of(rows)):
        share = rows[LABEL + label].to_numpy(float)
        colour = COLOURS[place % len(COLOURS)]
        axis.bar(
            left, share, width, bottom, align="edge", color=colour, edgecolor="white",
            linewidth=0.4, label=visible(label),
        )  # fmt: skip
        bottom += share
    unsure = rows["abstained"].to_numpy(bool)
    if unsure.any():
        style = {"edgecolor": "white", "hatch": "///", "linewidth": 0}
        axis.bar(left[unsure], 1, width[unsure], align="edge", facecolor="none", **style)
        axis.bar(-1, 0, facecolor="#777777", label="abstained", **style)  # for the legend
    axis.set_facecolor(GAP)
    axis.spines[["top", "right"]].set_visible(False)


def _extremes(clip: str | Path) -> tuple[np.ndarray, np.ndarray, float]:
    """The least and the greatest sample of each step of a clip's sound, and the step in seconds;
    empty without sound."""
    size = round(BLOCK_S * RATE)
    lows, highs, rest = [], [], np.zeros(0, np.float32)
    try:
        for piece in iter_waveform(clip, RATE, "center", keep_cut=True):
            rest = np.concatenate([rest, piece])
            count = len(rest) // size
            frames_FT = rest[: count * size].reshape(count, size)
            rest = rest[count * size :]
            lows.append(frames_FT.min(1) if count else np.zeros(0))
            highs.append(frames_FT.max(1) if count else np.zeros(0))
    except MediaError:  # no sound: the answers say why
        return np.zeros(0), np.zeros(0), BLOCK_S
    low, high = np.concatenate([*lows, []]), np.concatenate([*highs, []])
    group = max(1, len(low) // COLUMNS)
    count = len(low) // group
    shape = (count, group)
    return (
        low[: count * group].reshape(shape).min(1),
        high[: count * group].reshape(shape).max(1),
        BLOCK_S * group,
    )

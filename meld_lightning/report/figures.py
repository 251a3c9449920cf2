"""Figures 1 to 3 of the paper, drawn from runs: confusion matrices, a strip of frames, the fusion's
diagram.

Writes <out>/<figure>/figure.{png,svg}: legible in print at a column's width, the same bytes from
the same runs. Used by report/render.py. Axes: K classes, F frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from meld_lightning.metrics import confusion
from meld_lightning.report.extras import fusion_of
from meld_lightning.report.statistics import Run, scored

INK, FRAME, FILL = "#222222", "#4477AA", "#E8EEF5"


@contextmanager
def canvas(
    path: Path, size: tuple[float, float], columns: int = 1, rows: int = 1
) -> Iterator[tuple[Any, np.ndarray]]:
    """A figure of `size` inches and its axes (rows, columns); written as PNG and SVG when the block
    ends."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    style = {
        "svg.hashsalt": path.parent.name,
        "svg.fonttype": "none",
        "font.size": 8,
        "text.color": INK,
    }
    with mpl.rc_context(style):  # type: ignore[arg-type]
        figure, axes = plt.subplots(
            rows, columns, figsize=size, layout="constrained", squeeze=False
        )
        yield figure, axes
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path.with_suffix(".png"), dpi=200)
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        plt.close(figure)


def draw_confusions(
    panels: Mapping[str, Sequence[Run]], path: Path
) -> list[tuple[str, str, str, int]]:
    """A panel for each entry: counts summed over its runs, shaded by share of the true class.
    Returns (panel, true, predicted, count)."""
    counted = []
    with canvas(path, (3.5 * len(panels), 3.4), len(panels)) as (_, axes):
        for axis, (name, runs) in zip(axes[0], panels.items(), strict=True):
            tests = [scored(run, "test") for run in runs]
            labels = tests[0].labels
            counts_KK = np.sum(
                [confusion(one.true, one.predicted, len(labels)) for one in tests], axis=0
            )
            share_KK = counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)
            axis.imshow(share_KK, cmap="Blues", vmin=0, vmax=1)
            for row, column in np.ndindex(*counts_KK.shape):
                colour = "white" if share_KK[row, column] > 0.5 else INK
                axis.text(
                    column,
                    row,
                    counts_KK[row, column],
                    ha="center",
                    va="center",
                    color=colour,
                    fontsize=7,
                )
                counted.append((name, labels[row], labels[column], int(counts_KK[row, column])))
            axis.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
            axis.set_yticks(range(len(labels)), labels)
            axis.set(title=name, xlabel="predicted", ylabel="true")
    return counted


def draw_frames(
    clips: Sequence[dict[str, Any]], labels: Sequence[str], path: Path
) -> list[tuple[str, str, str, float]]:
    """A row for each clip: its kept frames, each over its probabilities.

    clips: [{key, true, predicted, frames (F, S, S, 3), chances (F, K)}]. Returns (clip and frame,
        true, label,
    probability).
    """
    most = max(len(clip["frames"]) for clip in clips)
    told = []
    with canvas(path, (1.25 * most + 0.6, 2.5 * len(clips)), most, 2 * len(clips)) as (_, axes):
        for row, clip in enumerate(clips):
            for column in range(most):
                above, below = axes[2 * row, column], axes[2 * row + 1, column]
                above.axis("off")
                if column >= len(clip["frames"]):
                    below.axis("off")
                    continue
                above.imshow(clip["frames"][column])
                said = f"{clip['key']}: {clip['true']}, told as {clip['predicted']}"
                above.set_title(said if column == 0 else "", fontsize=8, loc="left")
                chances_K = clip["chances"][column]
                colours = [
                    FRAME if place == chances_K.argmax() else "#BBBBBB"
                    for place in range(len(labels))
                ]
                below.barh(range(len(labels)), chances_K, color=colours)
                below.set(xlim=(0, 1), ylim=(len(labels) - 0.5, -0.5), xticks=[0, 1])
                below.set_yticks(range(len(labels)), labels if column == 0 else [""] * len(labels))
                below.tick_params(labelsize=7, length=0)
                told += [
                    (f"{clip['key']} frame {column}", clip["true"], label, float(chance))
                    for label, chance in zip(labels, chances_K, strict=True)
                ]
    return told


def draw_diagram(
    run: Run, models: Mapping[str, str], path: Path
) -> list[tuple[str, str, str, float]]:
    """The fusion as it was fitted: a lane for each modality, with its model, temperature and
    weight.

    Returns (modality, model, what, value).
    """
    found = fusion_of(run)
    weights, temperatures = (
        found["fitted"].get("weights", {}),
        found["fitted"].get("temperatures", {}),
    )
    told = []
    with canvas(path, (5.6, 0.7 * len(models) + 0.3)) as (_, axes):
        axis = axes[0, 0]
        axis.set(xlim=(0, 8.2), ylim=(-0.6, len(models) - 0.4))
        axis.axis("off")
        middle = (len(models) - 1) / 2
        for lane, (name, model) in enumerate(list(models.items())[::-1]):
            fitted = {"temperature": temperatures.get(name), "weight": weights.get(name)}
            told += [
                (name, model, what, float(value))
                for what, value in fitted.items()
                if value is not None
            ]
            lines = [f"{what} {value:.2f}" for what, value in fitted.items() if value is not None]
            for x, text in ((0.6, name), (2.3, model), (4.4, "\n".join(lines) or "probabilities")):
                _box(axis, x, lane, text)
            for start, end in ((1.05, 1.65), (2.95, 3.5)):
                _arrow(axis, (start, lane), (end, lane))
            _arrow(axis, (5.3, lane), (5.9, middle + 0.2 * (lane - middle)))
        _box(axis, 6.5, middle, f"{found['chosen']}\nfusion")
        _arrow(axis, (7.05, middle), (7.4, middle))
        axis.text(7.45, middle, "emotion", va="center", fontsize=8)
    return told


def fused_models(run: Run, runs: Mapping[Any, Sequence[Run]]) -> dict[str, str]:
    """modality -> name of the model whose run the fusion builds on."""
    by_hash = {one.result["hash"]: one for of_cell in runs.values() for one in of_cell}
    parts = {name: run.result["digests"].get(name) for name in fusion_of(run)["modalities"]}
    return {
        name: by_hash[key].result["model"] if key in by_hash else "?" for name, key in parts.items()
    }


def _box(axis: Any, x: float, y: float, text: str) -> None:
    style = {"boxstyle": "round,pad=0.25", "facecolor": FILL, "edgecolor": FRAME}
    axis.text(x, y, text, ha="center", va="center", fontsize=8, bbox=style)


def _arrow(axis: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": INK})

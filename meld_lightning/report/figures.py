"""Draws Figures 1 to 3 of the paper from runs: confusion matrices, frames of clips, the fusion's
diagram.

Writes <out>/<figure>/figure.{png,svg}, legible in print at a column's width; the same runs give the
same bytes. Used by report/render.py. Axes: K classes, F frames, S pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from meld_lightning.metrics import confusion
from meld_lightning.report.breakdowns import fusion_details
from meld_lightning.report.scored import scored
from meld_lightning.storage.atomic import atomic_write
from meld_lightning.study.sources import FinishedRun

INK, FRAME, FILL, GREY = "#222222", "#4477AA", "#E8EEF5", "#BBBBBB"


# columns of results.csv by kind of figure
COLUMNS = {
    "confusion": ("panel", "true", "predicted", "count"),
    "frames": ("clip", "frame", "true", "label", "probability"),
    "diagram": ("modality", "model", "parameter", "value"),
}

# what the parameters of a diagram mean
MEANING = {
    "temperature": "temperature: the model's logits are divided by it; fitted on val",
    "weight": "weight: factor of the modality's evidence or probabilities in the fusion",
}

Lines = list[tuple[Any, ...]]  # the numbers that a figure shows, in the order of its COLUMNS


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
        with atomic_write(path.with_suffix(".png")) as fresh:
            figure.savefig(fresh, format="png", dpi=200)
        with atomic_write(path.with_suffix(".svg")) as fresh:
            figure.savefig(fresh, format="svg", metadata={"Date": None})
        plt.close(figure)


def draw_confusions(panels: Mapping[str, Sequence[FinishedRun]], path: Path) -> Lines:
    """One confusion matrix per entry: counts on test, summed over the entry's runs, above their
    share of the true class, which is also the shade."""
    lines: Lines = []
    with canvas(path, (3.5 * len(panels), 4.0), len(panels)) as (figure, axes):
        for axis, (name, runs) in zip(axes[0], panels.items(), strict=True):
            tests = [scored(run, "test") for run in runs]
            labels = tests[0].labels
            counts_KK = np.sum(
                [confusion(one.true, one.predicted, len(labels)) for one in tests], axis=0
            )
            draw_confusion(axis, counts_KK, labels)
            axis.set(title=name, xlabel="predicted", ylabel="true")
            lines += [
                (name, labels[true], labels[predicted], int(counts_KK[true, predicted]))
                for true, predicted in np.ndindex(*counts_KK.shape)
            ]
        figure.supxlabel(
            "count, and below it the share of the true class, which is the shade", fontsize=8
        )
    return lines


def draw_confusion(axis: Any, counts_KK: np.ndarray, labels: Sequence[str]) -> None:
    """Counts (K, K) above their share of the true label, which is also the shade."""
    share_KK = counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)
    axis.imshow(share_KK, cmap="Blues", vmin=0, vmax=1)
    for true, predicted in np.ndindex(*counts_KK.shape):
        axis.text(
            predicted,
            true,
            f"{counts_KK[true, predicted]}\n{share_KK[true, predicted]:.0%}",
            ha="center",
            va="center",
            color="white" if share_KK[true, predicted] > 0.5 else INK,
            fontsize=6,
            linespacing=0.95,
        )
    axis.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axis.set_yticks(range(len(labels)), labels)


def draw_frames(clips: Sequence[dict[str, Any]], labels: Sequence[str], path: Path) -> Lines:
    """One line of frames per clip, with the class probabilities below each frame.

    clips: [{key, true, predicted, frames (F, S, S, 3), probabilities (F, K)}].
    """
    most = max(len(clip["frames"]) for clip in clips)
    lines: Lines = []
    with canvas(path, (1.25 * most + 0.6, 2.5 * len(clips) + 0.3), most, 2 * len(clips)) as (
        figure,
        axes,
    ):
        for axis in axes.flat:
            axis.axis("off")
        for line, clip in enumerate(clips):
            title = f"{clip['key']}: true {clip['true']}, predicted {clip['predicted']}"
            axes[2 * line, 0].set_title(title, fontsize=8, loc="left")
            for column, frame in enumerate(clip["frames"]):
                axes[2 * line, column].imshow(frame)
                bars_K, names = clip["probabilities"][column], labels if column == 0 else None
                _draw_bars(axes[2 * line + 1, column], bars_K, names)
                lines += [
                    (clip["key"], column, clip["true"], label, float(probability))
                    for label, probability in zip(labels, bars_K, strict=True)
                ]
        figure.supxlabel("probability of each class; blue: the most probable class", fontsize=8)
    return lines


def _draw_bars(axis: Any, probabilities_K: np.ndarray, names: Sequence[str] | None) -> None:
    """One bar per class, the highest highlighted. names: class names, where they are shown."""
    places = range(len(probabilities_K))
    highest = probabilities_K.argmax()
    axis.axis("on")
    axis.barh(
        places, probabilities_K, color=[FRAME if place == highest else GREY for place in places]
    )
    axis.set(xlim=(0, 1), ylim=(len(places) - 0.5, -0.5), xticks=[0, 1])
    axis.set_yticks(places, names or [""] * len(places))
    axis.tick_params(labelsize=7, length=0)


def draw_diagram(run: FinishedRun, models: Mapping[str, str], path: Path) -> Lines:
    """The fitted fusion: a lane per modality with its model, temperature and weight, and what these
    mean.

    models: modality -> name of its model.
    """
    found = fusion_details(run)
    lines: Lines = []
    with canvas(path, (5.6, 0.7 * len(models) + 0.6)) as (figure, axes):
        axis = axes[0, 0]
        axis.set(xlim=(0, 8.2), ylim=(-0.6, len(models) - 0.4))
        axis.axis("off")
        middle = (len(models) - 1) / 2
        joined = _box(axis, 6.3, middle, f"{found['chosen']}\nfusion")
        _arrow(axis, joined, axis.text(7.35, middle, "emotion", va="center", fontsize=8))
        for lane, (name, model) in enumerate(list(models.items())[::-1]):
            fitted = {
                parameter: found["fitted"][f"{parameter}s"][name]
                for parameter in ("temperature", "weight")
                if name in found["fitted"].get(f"{parameter}s", {})
            }
            lines += [(name, model, parameter, float(value)) for parameter, value in fitted.items()]
            shown = "\n".join(f"{what} {value:.2f}" for what, value in fitted.items())
            places = ((0.6, name), (2.3, model), (4.2, shown or "probabilities"))
            boxes = [*(_box(axis, x, lane, text) for x, text in places), joined]
            for start, end in itertools.pairwise(boxes):
                _arrow(axis, start, end)
        if meaning := [MEANING[what] for what in MEANING if any(what in line for line in lines)]:
            figure.supxlabel("\n".join(meaning), fontsize=7)
    return lines


def _box(axis: Any, x: float, y: float, text: str) -> Any:
    style = {"boxstyle": "round,pad=0.25", "facecolor": FILL, "edgecolor": FRAME}
    return axis.text(x, y, text, ha="center", va="center", fontsize=8, bbox=style)


def _arrow(axis: Any, start: Any, end: Any) -> None:
    """From the edge of one text's box to the edge of another's."""
    ends = {"patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()}
    axis.annotate(
        "",
        end.get_position(),
        start.get_position(),
        arrowprops={"arrowstyle": "->", "color": INK, "shrinkA": 0, "shrinkB": 0, **ends},
    )

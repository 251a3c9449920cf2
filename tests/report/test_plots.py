"""Figures of runs as objects, from committed evidence."""

from typing import Any

import numpy as np
import pytest

from meld_lightning import load_run
from meld_lightning.errors import UserError
from meld_lightning.report import plots
from meld_lightning.runs.run import Run
from tests.running import CHECKOUT

RUN = CHECKOUT / "experiments" / "meld_minilm" / "runs" / "009691739f48"


@pytest.fixture(scope="module")
def run() -> Run:
    return load_run(RUN)


def test_a_confusion_matrix_shows_every_utterance(run: Run) -> None:
    (axes,) = plots.confusion(run).axes
    counts = [int(text.get_text().split("\n")[0]) for text in axes.texts]
    assert len(counts) == 49
    assert sum(counts) == 2610


def test_scores_of_classes_are_those_of_the_run(run: Run) -> None:
    (axes,) = plots.classes(run).axes
    shown = [float(np.ravel(dot.get_xdata())[0]) for dot in axes.lines if dot.get_marker() == "o"]
    assert shown == pytest.approx(
        [run.result.metrics["test"]["f1"][name] for name in run.result.labels]
    )


def test_a_curve_marks_the_chosen_epoch(run: Run) -> None:
    (axes,) = plots.curve(run).axes
    (dot,) = (line for line in axes.lines if line.get_marker() == "o")
    shown = [float(np.ravel(values)[0]) for values in dot.get_data()]
    assert shown == pytest.approx([run.result.best["epoch"], run.result.best["value"]])


def test_reliability_states_its_error(run: Run) -> None:
    (axes,) = plots.reliability(run).axes
    assert "calibration error 0." in axes.get_title()


@pytest.mark.slow
def test_the_three_lines_of_the_docs_show_a_picture_in_a_notebook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    formatters = pytest.importorskip("IPython.core.formatters", reason="needs pip install ipython")
    monkeypatch.chdir(CHECKOUT)  # they read a committed run
    section = (CHECKOUT / "docs/page.md").read_text().partition("figures in a notebook")[2]
    lines = section.partition("```python\n")[2].partition("```")[0].strip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join([*lines[:-1], f"figure = {lines[-1]}"]), names)
    shown, _ = formatters.DisplayFormatter().format(names["figure"])
    assert shown["image/png"].startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_one_line(run: Run) -> None:
    with pytest.raises(UserError, match="no run was given"):
        plots.confusion()
    with pytest.raises(UserError, match="score=f2: expected one of precision, recall, f1"):
        plots.classes(run, score="f2")
    with pytest.raises(UserError, match="has no val/f2 by epoch"):
        plots.curve(run, metric="val/f2")

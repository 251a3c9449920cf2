"""Figures 1 to 3: the numbers beside the picture are those of the runs, the picture names them in
plain words, and drawing twice gives the same bytes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from meld_lightning.runs.logits import logits_of

Make = Callable[..., Any]
Spec = dict[str, Any]

FUSION = {
    "modalities": ["text", "audio"],
    "chosen": "learned",
    "fitted": {
        "temperatures": {"text": 0.5, "audio": 2.0},
        "weights": {"text": 0.75, "audio": 0.25},
    },
}


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def drawable(runs: Any, make_run: Make) -> Any:
    """Runs for every figure: those of the text tables, one of each of the others, and a fusion."""
    runs["table_08", "wav2vec2"] = [make_run("wav2vec2", 0.3)]
    runs["table_09", "clip"] = [make_run("clip", 0.2)]
    fusion = make_run("fusion", 0.7)
    runs["table_02", "batch_8"][0].change(model="bert")
    runs["table_08", "wav2vec2"][0].change(model="wav2vec2")
    (fusion.folder / "fusion.json").write_text(json.dumps(FUSION))
    runs["table_10", "T+A+V"] = [fusion]
    return runs


def clips_of(run: Any) -> list[dict[str, Any]]:
    frames = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    chances = np.array([[0.1, 0.9, *[0.0] * 5], [0.6, 0.4, *[0.0] * 5]])
    clip = {"frames": frames, "probabilities": chances, "true": "joy", "predicted": "neutral"}
    return [{**clip, "key": f"test/dia{number}_utt0"} for number in (4, 7)]


@pytest.mark.slow
def test_a_confusion_matrix_is_scikit_learns_over_all_seeds(
    render: Make, drawable: Any, make_run: Make
) -> None:
    for key in list(drawable):
        drawable[key] += [make_run("more" + "-".join(key), 0.5, 2)]
    folder = render("figure_1", runs=drawable, seeds=[1, 2]) / "figure_1"
    run, other = drawable["table_08", "wav2vec2"]
    labels = list(run.result.labels)
    expected = sum(
        confusion_matrix(
            frame["label"], np.array(labels)[logits_of(frame, labels).argmax(1)], labels=labels
        )
        for frame in (run.logits("test"), other.logits("test"))
    )
    counts = {
        (line["true"], line["predicted"]): int(line["count"])
        for line in lines(folder)
        if line["panel"] == "wav2vec2"
    }
    assert counts == {
        (labels[true], labels[predicted]): expected[true, predicted]
        for true, predicted in np.ndindex(7, 7)
    }
    picture = (folder / "figure.svg").read_text()
    for word in ("RoBERTa", "wav2vec2", "fusion", "true", "predicted", *labels):
        assert f">{word}</text>" in picture
    assert "count, and below it the share of the true class" in picture
    assert {line["panel"] for line in lines(folder)} == {"RoBERTa", "wav2vec2", "fusion"}


@pytest.mark.slow
def test_frames_say_what_is_true_and_what_was_predicted(render: Make, drawable: Any) -> None:
    folder = render("figure_2", runs=drawable, find_clips=clips_of) / "figure_2"
    assert len(lines(folder)) == 2 * 2 * 7
    assert lines(folder)[1] == {
        "clip": "test/dia4_utt0",
        "frame": "0",
        "true": "joy",
        "label": "joy",
        "probability": "0.9",
    }
    picture = (folder / "figure.svg").read_text()
    assert ">test/dia7_utt0: true joy, predicted neutral</text>" in picture
    assert ">probability of each class; blue: the most probable class</text>" in picture


@pytest.mark.slow
def test_the_diagram_shows_what_was_fitted(render: Make, drawable: Any) -> None:
    folder = render("figure_3", runs=drawable) / "figure_3"
    assert [tuple(line.values()) for line in lines(folder)] == [
        ("audio", "wav2vec2", "temperature", "2.0"),
        ("audio", "wav2vec2", "weight", "0.25"),
        ("text", "bert", "temperature", "0.5"),
        ("text", "bert", "weight", "0.75"),
    ]
    picture = (folder / "figure.svg").read_text()
    assert ">temperature 0.50</text>" in picture
    assert ">fusion</text>" in picture
    assert ">weight: factor of the modality" in picture


@pytest.mark.slow
def test_drawing_twice_gives_the_same_bytes(render: Make, drawable: Any) -> None:
    figures = ("figure_1", "figure_2", "figure_3")

    def drawn() -> list[bytes]:
        out = render(*figures, runs=drawable, find_clips=clips_of)
        files = sorted(path for name in figures for path in (out / name).glob("figure.*"))
        assert len(files) == 6
        return [path.read_bytes() for path in files]

    assert drawn() == drawn()


@pytest.mark.slow
def test_a_figure_that_cannot_be_drawn_says_why_and_drawn_frames_stay(
    render: Make, drawable: Any
) -> None:
    out = render("figure_2", runs=drawable)
    text = (out / "figure_2" / "table.md").read_text()
    assert "Not drawn: the clips are not decoded here; run `prepare` first." in text
    render("figure_2", runs=drawable, find_clips=clips_of)
    drawn = (out / "figure_2" / "figure.png").read_bytes()
    render("figure_2", runs=drawable, find_clips=lambda run: [])
    assert (out / "figure_2" / "figure.png").read_bytes() == drawn
    render("figure_2", "figure_1", runs={})
    assert not list(out.glob("figure_2/figure.*"))
    assert "Not drawn: no runs yet for video." in (out / "figure_2" / "table.md").read_text()
    assert (
        "no runs yet for RoBERTa, wav2vec2, fusion." in (out / "figure_1" / "table.md").read_text()
    )

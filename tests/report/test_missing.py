"""Fusions scored again with modalities missing: exact at the ends, and drawn alike for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from meld_lightning.fusion.joined import JoinedRuns
from meld_lightning.fusion.learned import Learned
from meld_lightning.fusion.state import load_fusion, save_fusion
from meld_lightning.report.missing import at_random
from meld_lightning.runs.logits import logit_columns
from tests.report.conftest import LABELS, grid_of, reference, results

Make = Callable[..., Any]
SPEC: dict[str, Any] = {
    "single": {
        "title": "t",
        "rows": {"text": ["x=1"], "audio": ["x=2"]},
        "metrics": {"test/accuracy": "accuracy"},
    },
    "fused": {
        "title": "t",
        "sources": {"text": "single.text", "audio": "single.audio"},
        "rows": {"learned": ["y=1"]},
        "metrics": {"test/accuracy": "accuracy"},
    },
    "gone": {
        "title": "Missing",
        "kind": "missing",
        "from": "fused",
        "metrics": {"test/accuracy": "accuracy"},
    },
}


@pytest.fixture
def fused(make_run: Make) -> dict[tuple[str, str], list[Any]]:
    """Runs of text and audio, and a fusion of them that was fitted on val."""
    text, audio = make_run("text", 0.6), make_run("audio", 0.5)
    fusion, run = Learned("learned"), make_run("learned", 0.5)
    runs = JoinedRuns({"text": text, "audio": audio})
    fusion.fit(runs.split("val"), seed=1)
    save_fusion(fusion, run.folder)
    test = runs.split("test")
    frame = text.logits("test").set_index("key").loc[test.keys_N].reset_index()
    frame[logit_columns(LABELS)] = fusion(test.batch).astype(np.float32)
    frame.to_parquet(run.folder / "logits" / "test.parquet")
    metrics = {**run.result.metrics, "test": {**reference(frame, LABELS), "n": len(frame)}}
    run.change(metrics=metrics, modality="fusion")
    return {("single", "text"): [text], ("single", "audio"): [audio], ("fused", "learned"): [run]}


@pytest.mark.slow
def test_the_ends_are_the_fusion_itself_and_its_subsets(
    fused: dict[tuple[str, str], list[Any]], render: Make
) -> None:
    out = render("gone", tables=SPEC, runs=fused)
    [run] = fused["fused", "learned"]
    grid = grid_of(out / "gone" / "table.md")
    assert grid[""] == ["row", *(f"{share}0%" if share else "0%" for share in range(10)), "n"]
    whole = run.result.metrics["test"]["accuracy"]
    assert grid["learned"][0] == f"{whole:.4f}"
    assert float(grid["learned"][9]) < whole
    assert len(set(grid["constant (neutral)"][:-1])) == 1

    sources = {name: fused["single", name][0] for name in ("text", "audio")}
    test = JoinedRuns(sources).split("test")
    present_MN = np.array([[True], [False]]) & test.batch.present_MN
    alone_NC = load_fusion(run.folder)(test.batch._replace(present_MN=present_MN))
    subsets = {
        one["present"]: one for one in results(out / "gone" / "results.csv") if one["present"]
    }
    assert list(subsets) == ["text", "audio", "text + audio"]
    right = (alone_NC.argmax(1) == test.labels_N).mean()
    assert float(subsets["text"]["value"]) == pytest.approx(right, abs=1e-6)
    assert float(subsets["text + audio"]["value"]) == pytest.approx(whole, abs=1e-6)
    assert float(subsets["text"]["low"]) < right < float(subsets["text"]["high"])


@pytest.mark.slow
def test_it_is_drawn_with_the_same_bytes_and_waits_for_its_runs(
    fused: dict[tuple[str, str], list[Any]], render: Make
) -> None:
    def files(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    first = files(render("gone", tables=SPEC, runs=fused) / "gone")
    assert set(first) == {"figure.png", "figure.svg", "results.csv", "table.md"}
    assert files(render("gone", tables=SPEC, runs=fused) / "gone") == first
    out = render("gone", tables=SPEC, runs={})
    assert "Not drawn: no runs yet for learned" in (out / "gone" / "table.md").read_text()
    assert not list((out / "gone").glob("figure.*"))


def test_what_is_missing_depends_on_the_utterance_and_not_on_its_place_in_a_fold() -> None:
    """Two folds have patterns of their own; a part of a fold keeps that of the whole."""

    def kept(keys: list[str]) -> np.ndarray:
        test: Any = SimpleNamespace(keys_N=np.array(keys, object), modalities=("text", "audio"))
        return at_random(0.5)(test)

    first, second = ([f"{fold}{number}" for number in range(400)] for fold in "ab")
    one, other = kept(first), kept(second)
    np.testing.assert_array_equal(kept(first[100:]), one[:, 100:])
    for mine, theirs in ((one, other), (one[0], one[1])):
        assert 0.4 < (mine == theirs).mean() < 0.6
    assert 0.4 < one.mean() < 0.6

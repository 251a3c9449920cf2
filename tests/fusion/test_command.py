"""`meld-lightning fuse`: fits and chooses on val, scores test, and is read once it is finished."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from meld_lightning.commands.cli import main
from meld_lightning.corpus import EMOTIONS, prepare_corpus
from meld_lightning.runs.logits import logit_columns, logits_of
from tests.corpus.manifests import manifest, speech
from tests.fusion.conftest import MakeRun, write_run

QUICK = ["fusion.among.stacked.steps=5", "fusion.among.searched.steps=4", "folds=3"]


def findings(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "fusion.json").read_text()))


@pytest.fixture
def work(tmp_path: Path, make_run: MakeRun, undrawn: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that make_run's runs lie in, as the working folder."""
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_the_command_fits_chooses_and_is_read_again(
    tmp_path: Path,
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = tmp_path / "work"
    monkeypatch.chdir(work)
    skills = {"text": 0.7, "audio": 0.6, "video": 0.4}
    runs = [f"runs.{name}={make_run(name, skill)}" for name, skill in skills.items()]
    assert main(["fuse", *runs, *QUICK]) == 0
    printed = capsys.readouterr().out
    assert ("fusion.json" in printed, "is wrong in" in printed) == (True, False)
    (written,) = work.glob("runs/fusion-chosen/*/result.json")
    found, result = findings(written.parent), json.loads(written.read_text())
    scores = found["cross_validated"]
    singles = {f"{name} {how}" for name in skills for how in ("alone", "recalibrated")}
    assert set(scores) == singles | {"average", "searched", "learned", "stacked"}
    assert scores[found["chosen"]] == max(scores.values()) >= found["runs"]["text"]
    nested = found["nested"]["val/weighted_f1"]
    assert result["best"]["value"] == result["metrics"]["val"]["weighted_f1"] == nested
    assert set(found["nested"]["chosen_without_fold"]) <= set(scores)
    val = pd.read_parquet(written.parent / "logits/val.parquet")
    predicted = np.array(EMOTIONS)[logits_of(val, EMOTIONS).argmax(1)]
    assert nested == pytest.approx(f1_score(val["label"], predicted, average="weighted"))
    files = {path.name for path in written.parent.iterdir()}
    assert files >= {"reliability.png", "reliability.svg", "metrics.csv", "predictions.parquet"}

    table = pd.read_csv(written.parent / "predictions.csv")
    assert len(table) == 640
    assert {"predicted_label", "text_label", "audio_label", "video_confidence"} <= set(table)
    logits = [work / f"runs/audio-fake/abc/logits/{split}.parquet" for split in ("val", "test")]
    joined = table.merge(pd.concat(map(pd.read_parquet, logits)), on="key")
    assert (joined["true_label"] == joined["label"]).all()
    predicted = joined[logit_columns(EMOTIONS)].idxmax(axis=1).str.removeprefix("logit.")
    assert (joined["audio_label"] == predicted).all()

    before = written.stat().st_mtime_ns
    assert main(["fuse", *runs, *QUICK]) == 0
    assert written.stat().st_mtime_ns == before


def test_runs_made_again_with_other_logits_make_another_fusion(
    work: Path, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its figures are those of the runs as they are now, though their names stay."""
    before = make_run("text", 0.4)
    ask = ["fuse", "fusion=average", f"runs.text={before}"]
    assert main(ask) == 0
    (first,) = work.glob("runs/fusion-average/*/result.json")
    shutil.rmtree(before)
    assert make_run("text", 0.9) == before
    assert main(ask) == 0
    found = {path: json.loads(path.read_text()) for path in work.glob("runs/*/*/result.json")}
    (second,) = set(work.glob("runs/fusion-average/*/result.json")) - {first}
    accuracies = [found[path]["metrics"]["test"]["accuracy"] for path in (first, second)]
    assert accuracies[0] < 0.6 < accuracies[1]
    assert f"weighted_f1 {found[second]['best']['value']:.4f}" in capsys.readouterr().out


@pytest.mark.slow
def test_a_fusion_worse_than_its_best_modality_is_never_chosen(
    work: Path, make_run: MakeRun
) -> None:
    runs = [f"runs.text={make_run('text', 1.0)}", f"runs.video={make_run('video', 0.0)}"]
    assert main(["fuse", *runs, *QUICK]) == 0
    (folder,) = work.glob("runs/fusion-chosen/*/")
    assert findings(folder)["chosen"] == "text alone"


@pytest.mark.slow
def test_a_run_that_is_chosen_alone_keeps_its_predictions_also_where_the_modality_is_missing(
    work: Path, make_run: MakeRun
) -> None:
    text = make_run("text", 0.9, missing=0.3)  # its scores of missing rows are right as often
    assert main(["fuse", f"runs.text={text}"]) == 0
    (folder,) = work.glob("runs/fusion-chosen/*/")
    assert findings(folder)["chosen"] == "text alone"
    for split in ("val", "test"):
        run, fused = (
            pd.read_parquet(one / f"logits/{split}.parquet").set_index("key")
            for one in (text, folder)
        )
        predicted = logits_of(fused.loc[run.index], EMOTIONS).argmax(1)
        assert np.array_equal(predicted, logits_of(run, EMOTIONS).argmax(1))


@pytest.mark.slow
def test_a_method_asked_for_by_name_says_that_a_run_alone_is_better(
    work: Path, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [f"runs.text={make_run('text', 1.0)}", f"runs.video={make_run('video', 0.0)}"]
    average = ["fusion=average", "fusion.weights.text=0.2", "fusion.weights.video=0.8"]
    assert main(["fuse", *average, *runs]) == 0
    assert "text alone is better on val; fusion=chosen takes" in capsys.readouterr().out
    (folder,) = work.glob("runs/fusion-average/*/")
    assert findings(folder)["chosen"] == "average"
    assert findings(folder)["better_run"] == "text"
    assert main(["fuse", "fusion=average", "fusion.weights.text=1", runs[0]]) == 0
    assert "is better on val" not in capsys.readouterr().out


@pytest.mark.slow
def test_modalities_may_have_any_name_and_the_average_leaves_out_those_without_a_weight(
    work: Path, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [f"runs.{name}={make_run(name, 0.5)}" for name in ("text", "gesture", "gaze")]
    assert main(["fuse", "fusion=average", *runs, "+fusion.weights.gaze=0.5"]) == 0
    said = capsys.readouterr().out
    assert "left out because it has no weight: gesture" in said
    (folder,) = work.glob("runs/fusion-average/*/")
    assert "gesture" in findings(folder)["fixes"]
    assert findings(folder)["fitted"] == {
        "weights": {"text": 0.5, "gesture": 0.0, "gaze": 0.5},
        "left_out": ["gesture"],
    }
    assert main(["fuse", "fusion=average", *runs[1:]]) == 1
    assert "no weight for gaze or gesture" in capsys.readouterr().err
    assert main(["fuse", "fusion=average", *runs, "+fusion.weights.gaze=-1"]) == 1
    assert "fusion.weights.gaze=-1: expected a number from 0 up" in capsys.readouterr().err
    assert "sum to" not in said
    assert main(["fuse", "fusion=average", *runs, "+fusion.weights.gaze=1.5"]) == 0
    assert (
        "fusion.weights of text and gaze sum to 2; they are divided by it: text 0.25, gaze 0.75"
        in capsys.readouterr().out
    )


@pytest.mark.slow
def test_the_corpus_is_that_of_the_runs(
    tmp_path: Path,
    undrawn: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = manifest(tmp_path, speech())
    settings: dict[str, Any] = {
        "name": "mine",
        "layout": "manifest",
        "root": str(path),
        "split": "dialogue",
    }
    settings |= {"folds": 5, "fold": 2}
    corpus = prepare_corpus(settings, Path("cache"))
    table = corpus.table.assign(label=corpus.table["emotion"], present=True)
    table[list(corpus.emotions)] = np.eye(3)[table["emotion"].map(corpus.emotions.index)]
    frames = {split: table[table["split"] == split] for split in ("val", "test")}
    run = write_run(tmp_path / "runs/text-fake/a", "text", frames, corpus.digest, corpus.emotions)
    (run / "config.yaml").write_text(json.dumps({"target": "emotion", "corpus": settings}))
    assert main(["fuse", "fusion=average", f"runs.text={run}"]) == 0
    (written,) = tmp_path.glob("runs/fusion-average/*/result.json")
    assert json.loads(written.read_text())["fold"] == 2
    assert main(["fuse", "fusion=average", f"runs.text={run}", "corpus=mini"]) == 1
    assert "corpus 'mini' at" in capsys.readouterr().err


def test_wrong_runs_get_one_line(
    work: Path, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    text, other = make_run("text", 0.5), make_run("video", 0.5, digest="another")
    for arguments, expected in (
        ([], "no run to fuse"),
        ([f"runs.text={text}", f"runs.video={other}"], "not the same corpus"),
        ([f"runs.text={text}", "modalities=[audio]"], "give it as runs.audio=FOLDER"),
        ([f"runs.text={work}"], "no finished run there"),
        ([f"runs.audio={text}"], "a run of text, expected one of audio"),
        ([f"runs.true={text}"], "predictions.csv has a column true_label of its own"),
        ([f"runs.text={text}", "fusion=serched"], "did you mean 'searched'?"),
        ([f"runs.text={text}", "folds=1"], "folds=1: expected at least 2"),
        ([f"runs.video={other}"], "made with another corpus than mini"),
    ):
        assert main(["fuse", *arguments]) == 1
        said = capsys.readouterr().err.strip()
        assert expected in said
        assert len(said.splitlines()) == 1, said

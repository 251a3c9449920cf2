"""Runs, evidence, exports and predictions of earlier versions are read, with the figures that they
gave. kept/ was made by make.py; later versions add a folder of their own."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meld_lightning import Predictor, load_run
from meld_lightning.commands.cli import main
from meld_lightning.fusion.joined import JoinedRuns
from meld_lightning.fusion.state import load_fusion
from meld_lightning.runs.identity import canonical_config
from meld_lightning.runs.logits import logit_columns, logits_of
from meld_lightning.runs.result import split_metrics
from meld_lightning.runs.settings import Settings
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.training.checkpoint_file import best_weights

HERE = Path(__file__).parent
KEPT = sorted(path.parent for path in HERE.glob("kept*/VERSION"))
RUNS = sorted(path.parent for kept in KEPT for path in kept.glob("**/runs/**/result.json"))
OWN = ["--config-dir", str(HERE / "configs"), "study=kept"]


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_a_kept_run_has_its_figures_and_its_identity(folder: Path) -> None:
    run = load_run(folder)
    for split, metrics in run.result.metrics.items():
        if not (folder / "logits" / f"{split}.parquet").is_file():
            assert "experiments" in folder.parts, "evidence keeps val and test alone"
            continue
        frame = run.logits(split)
        true_N = frame["label"].map(run.result.labels.index).to_numpy().copy()
        logits_NC = logits_of(frame, run.result.labels).copy()
        found = split_metrics(true_N, logits_NC, run.result.labels)
        assert found == {name: pytest.approx(metrics[name]) for name in found}
    if "experiments" not in folder.parts:
        assert digest_of(canonical_config(run.config)) == run.result.config_hash
    assert Settings(folder).flat()["corpus.name"] == "kept"


def test_there_are_a_text_an_audio_and_a_fused_run_each_with_evidence() -> None:
    modalities = [load_run(folder).result.modality for folder in RUNS]
    assert sorted(modalities) == ["audio"] * 2 + ["fusion"] * 2 + ["text"] * 2


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_a_kept_fusion_scores_as_it_did(kept: Path) -> None:
    [folder] = kept.glob("runs/fusion-*/*")
    members = {name: load_run(kept / path) for name, path in load_run(folder).config.runs.items()}
    test = JoinedRuns(members).split("test")
    run = load_run(folder)
    frame = run.logits("test").set_index("key").loc[list(test.keys_N)]
    stored_NC = frame[logit_columns(run.result.labels)].to_numpy()
    np.testing.assert_allclose(load_fusion(folder)(test.batch), stored_NC, atol=1e-6)
    assert {len(best_weights(one.folder)) > 0 for one in members.values()} == {True}


def assert_predicts(source: Path, predicted: dict) -> None:
    texts = [one["text"] for one in predicted["items"]]
    found = Predictor.from_pretrained(source)(text=texts)
    assert list(found["emotion"]) == [one["emotion"] for one in predicted["items"]]
    p_NC = found[[f"p.{label}" for label in predicted["labels"]]].to_numpy()
    was_NC = [list(one["probabilities"].values()) for one in predicted["items"]]
    np.testing.assert_allclose(p_NC, was_NC, atol=1e-5)


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_a_kept_export_predicts_as_it_did(kept: Path) -> None:
    assert_predicts(kept / "export", json.loads((kept / "predictions.json").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_kept_runs_are_reported_fused_and_predicted_with(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(kept, tmp_path / "kept"))
    monkeypatch.chdir(folder)
    runs = sorted(folder.glob("runs/*/*"))
    expected = results(folder)
    shutil.move(folder / "runs", tmp_path / "runs")
    assert main(["report", *OWN]) == 0  # from the evidence, with nothing prepared
    pd.testing.assert_frame_equal(results(folder), expected)
    shutil.move(tmp_path / "runs", folder / "runs")
    assert main(["prepare", *OWN]) == 0
    assert main(["reproduce", *OWN]) == 0
    assert sorted(folder.glob("runs/*/*")) == runs, "a run was made again under another name"
    pd.testing.assert_frame_equal(results(folder), expected)
    [fused] = folder.glob("runs/fusion-*/*")
    named = [f"runs.{name}={path}" for name, path in load_run(fused).config.runs.items()]
    assert main(["fuse", *OWN, "fusion=learned", *named]) == 0
    assert sorted(folder.glob("runs/*/*")) == runs
    assert_predicts(fused, json.loads((kept / "predictions.json").read_text()))


def results(folder: Path) -> pd.DataFrame:
    files = sorted((folder / "experiments").glob("*/*/results.csv"))
    return pd.concat([pd.read_csv(file) for file in files])

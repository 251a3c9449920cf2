"""Fusions on known answers, and the command that fits them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from sklearn.metrics import f1_score
from torchmetrics.classification import MulticlassCalibrationError

from meld_lightning.commands.cli import main
from meld_lightning.corpus import EMOTIONS
from meld_lightning.fusion.calibration import expected_calibration_error
from meld_lightning.fusion.joined import LogitsBatch
from meld_lightning.fusion.methods import Fusion, normalised, simplex, weight_scores
from meld_lightning.mini.cues import PRIOR_C, draw_posteriors, optimum
from tests.running import CHECKOUT, Command, folder_over

NAMES = ("text", "audio", "video")


@pytest.fixture(scope="module")
def known() -> tuple[LogitsBatch, np.ndarray]:
    """20,000 utterances of the mini corpus's own model, as over- and underconfident models would
    score them, and the predictions that are best possible."""
    posteriors_MNC, labels_N = draw_posteriors(20_000, seed=3)
    logits_MNC = np.log(np.maximum(posteriors_MNC, 1e-6)) * np.array([2.0, 0.5, 1.0])[:, None, None]
    batch = LogitsBatch(normalised(logits_MNC), np.ones(logits_MNC.shape[:2], dtype=bool), labels_N)
    return batch, optimum(posteriors_MNC).argmax(1)


def fusion(name: str) -> Fusion:
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        made = instantiate(compose("fuse", [f"fusion={name}"]).fusion)
    assert isinstance(made, Fusion)
    return made


@pytest.mark.parametrize("name", ["searched", "learned", "stacked"])
def test_every_fitted_fusion_comes_within_a_point_of_the_best_possible(
    name: str, known: Any
) -> None:
    batch, best_N = known
    fitted, half = fusion(name), np.arange(20_000) < 10_000
    fitted.fit(batch.where(half), NAMES, seed=1)
    predicted_N = fitted(batch.where(~half)).argmax(1)
    labels_N = batch.labels_N[~half]
    assert (best_N[~half] == labels_N).mean() > 0.98
    assert (predicted_N == labels_N).mean() > (best_N[~half] == labels_N).mean() - 0.01


@pytest.mark.parametrize("name", ["average", "searched", "learned", "stacked"])
def test_any_subset_of_modalities_will_do(name: str, known: Any) -> None:
    batch = known[0].where(np.arange(4000))
    rng = np.random.default_rng(0)
    present_MN = rng.random((3, 4000)) < 0.6
    gappy = batch._replace(present_MN=present_MN)
    fitted = fusion(name)
    fitted.fit(gappy, NAMES, seed=1)
    scores_NC = fitted(gappy)
    assert np.isfinite(scores_NC).all()
    np.testing.assert_allclose(np.exp(scores_NC).sum(1), 1)
    noise = normalised(
        rng.normal(size=batch.log_probs_MNC.shape)
    )  # where a modality is missing, its numbers are nothing
    other = gappy._replace(
        log_probs_MNC=np.where(present_MN[..., None], batch.log_probs_MNC, noise)
    )
    np.testing.assert_allclose(fitted(other), scores_NC)
    nothing = ~present_MN.any(0)
    assert (scores_NC[nothing].argmax(1) == PRIOR_C.argmax()).all()


@pytest.mark.parametrize("name", ["searched", "learned", "stacked"])
def test_a_modality_never_seen_when_it_was_fitted_counts_for_nothing(name: str, known: Any) -> None:
    batch = known[0].where(np.arange(4000))
    blind = batch._replace(present_MN=batch.present_MN & np.array([[True], [True], [False]]))
    fitted = fusion(name)
    fitted.fit(blind, NAMES, seed=1)
    np.testing.assert_allclose(fitted(batch), fitted(blind))
    assert fitted.describe()["never_seen"] == ["video"]


def test_weights_are_searched_as_a_loop_over_scikit_learn_would() -> None:
    rng = np.random.default_rng(5)
    evidence_MNC, labels_N = rng.normal(size=(3, 300, 7)), rng.integers(0, 7, 300)
    grid_WM, prior_C = simplex(3, 10), np.log(PRIOR_C)
    assert grid_WM.shape == (66, 3)
    np.testing.assert_allclose(grid_WM.sum(1), 1)
    expected = [
        f1_score(
            labels_N, (prior_C + 3 * np.tensordot(w, evidence_MNC, 1)).argmax(1), average="weighted"
        )
        for w in grid_WM
    ]
    np.testing.assert_allclose(
        weight_scores(prior_C, evidence_MNC, grid_WM, labels_N), expected, atol=1e-12
    )


def test_calibration_error_is_torchmetrics(known: Any) -> None:
    batch = known[0]
    expected = MulticlassCalibrationError(7, n_bins=15)(
        torch.from_numpy(np.exp(batch.log_probs_MNC[0])), torch.from_numpy(batch.labels_N)
    )
    found = expected_calibration_error(batch.log_probs_MNC[0], batch.labels_N)
    assert found == pytest.approx(float(expected), abs=1e-6)
    assert found > 0.02  # overconfident, as it was made


@pytest.fixture
def finished(prepared: Path, tmp_path: Path) -> Callable[..., Path]:
    """finished(modality, skill) -> the folder of a run over the mini corpus that is right so
    often."""
    folder = folder_over(prepared, tmp_path / "work")
    report = json.loads(next((prepared / "cache/corpus").glob("mini-*/manifest.json")).read_text())
    table = pd.read_parquet(next((prepared / "cache/corpus").glob("mini-*/corpus.parquet")))

    def make(modality: str, skill: float, **changed: Any) -> Path:
        run = folder / "runs" / f"{modality}-fake" / "abc"
        (run / "logits").mkdir(parents=True)
        rng = np.random.default_rng(len(modality) + round(100 * skill))
        for split in ("val", "test"):
            rows = table[table["split"] == split].sample(
                frac=1, random_state=len(modality)
            )  # in an order of its own
            true = np.array([EMOTIONS.index(label) for label in rows["emotion"]])
            told = np.where(rng.random(len(rows)) < skill, true, rng.integers(0, 7, len(rows)))
            frame = pd.DataFrame(
                {
                    "key": rows["key"],
                    "label": rows["emotion"],
                    "unit": rows["unit"],
                    "present": True,
                }
            )
            frame[list(EMOTIONS)] = (2.0 * (np.arange(7) == told[:, None])).astype(np.float32)
            frame.reset_index(drop=True).to_parquet(run / "logits" / f"{split}.parquet")
        digests = {"corpus": report["digest"], **changed}
        result = {
            "hash": f"{modality}{skill}",
            "labels": list(EMOTIONS),
            "digests": digests,
            "checkpoint": modality,
        }
        (run / "result.json").write_text(json.dumps(result))
        (run / "config.yaml").write_text("{}")
        return run

    return make


def test_the_command_fits_chooses_and_is_read_again(
    finished: Callable[..., Path], meld_lightning: Command, tmp_path: Path
) -> None:
    runs = [
        f"runs.{name}={finished(name, skill)}"
        for name, skill in (("text", 0.7), ("audio", 0.6), ("video", 0.4))
    ]
    done = meld_lightning("fuse", *runs, cwd=tmp_path / "work")
    assert done.returncode == 0, done.stderr
    folder = next((tmp_path / "work/runs/fusion-chosen").glob("*/result.json")).parent
    found, result = (
        json.loads((folder / "fusion.json").read_text()),
        json.loads((folder / "result.json").read_text()),
    )
    scores = found["cross_validated"]
    assert set(scores) == {
        "text alone",
        "audio alone",
        "video alone",
        "average",
        "searched",
        "learned",
        "stacked",
    }
    assert result["best"]["value"] == max(scores.values()) >= scores["text alone"]
    assert result["metrics"]["val"]["weighted_f1"] == pytest.approx(scores[found["chosen"]])
    assert "where text is wrong" in done.stdout
    table = pd.read_csv(folder / "predictions.csv")
    assert len(table) == 640
    assert {"predicted_label", "text_label", "audio_label", "video_confidence"} <= set(table)
    truth = pd.concat(
        pd.read_parquet(tmp_path / f"work/runs/audio-fake/abc/logits/{s}.parquet")
        for s in ("val", "test")
    )
    joined = table.merge(truth, on="key")
    assert (joined["true_label"] == joined["label"]).all()
    assert (joined["audio_label"] == joined[list(EMOTIONS)].idxmax(axis=1)).all()
    assert {path.name for path in folder.iterdir()} >= {
        "reliability.png",
        "reliability.svg",
        "metrics.csv",
    }
    written = (folder / "result.json").stat().st_mtime_ns
    assert meld_lightning("fuse", *runs, cwd=tmp_path / "work").returncode == 0
    assert (folder / "result.json").stat().st_mtime_ns == written


def test_a_fusion_worse_than_its_best_modality_is_never_chosen(
    finished: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [f"runs.text={finished('text', 1.0)}", f"runs.video={finished('video', 0.0)}"]
    monkeypatch.chdir(tmp_path / "work")
    assert main(["fuse", *runs]) == 0
    found = json.loads(
        next((tmp_path / "work/runs/fusion-chosen").glob("*/fusion.json")).read_text()
    )
    assert found["chosen"] == "text alone"


def test_wrong_runs_get_one_line(
    finished: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text, other = finished("text", 0.5), finished("video", 0.5, corpus="another")
    monkeypatch.chdir(tmp_path / "work")
    for arguments, said in (
        ([], "no run to fuse"),
        ([f"runs.text={text}", f"runs.video={other}"], "not the same corpus"),
        ([f"runs.text={text}", "modalities=[audio]"], "give it as runs.audio=FOLDER"),
        ([f"runs.text={tmp_path}"], "no finished run there"),
        ([f"runs.text={text}", "fusion=serched"], "did you mean 'searched'?"),
        ([f"runs.text={text}", "folds=1"], "folds=1: expected at least 2"),
    ):
        assert main(["fuse", *arguments]) == 1
        told = capsys.readouterr().err.strip()
        assert said in told
        assert len(told.splitlines()) == 1, told

"""A run's model, loaded: it gives the run's own logits, and says what it lacks."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from meld_lightning import load_run
from meld_lightning.errors import UserError
from meld_lightning.inference.export.folder import export
from meld_lightning.inference.loaded import LoadedModel, load_model
from meld_lightning.report.exported import figures_of
from meld_lightning.runs.inputs import read_inputs
from meld_lightning.training.build import build
from tests.finished import only_run
from tests.running import argv, folder_over, run_well


def scored(loaded: LoadedModel, run: Path, split: str) -> dict[str, np.ndarray]:
    """Key -> logits (C,) that the loaded module gives the run's own batches of a split."""
    config = load_run(run).config
    datamodule = build(config, read_inputs(config)).datamodule
    with torch.inference_mode():
        batches = [(b.rows_N, loaded.module(b)) for b in datamodule.scoring_dataloader(split)]
    rows_N = torch.cat([rows for rows, _ in batches])
    logits_NC = torch.cat([logits for _, logits in batches]).numpy()
    keys = datamodule.table["key"].iloc[rows_N.numpy()]
    return dict(zip(keys, logits_NC, strict=True))


def assert_own_logits(loaded: LoadedModel, run: Path) -> None:
    found, own = scored(loaded, run, "test"), load_run(run).logits("test")
    assert set(found) == set(own["key"][own["present"]])
    own_NC = own.set_index("key")[[f"logit.{label}" for label in loaded.labels]]
    for key, logits_C in found.items():
        np.testing.assert_allclose(logits_C, own_NC.loc[key], atol=1e-5)
    for key in own["key"][~own["present"]]:
        np.testing.assert_allclose(loaded.prior_C, own_NC.loc[key], atol=1e-6)


def test_text_gives_the_runs_own_logits(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_run(finished).model()  # from any folder: its paths are relative to its own
    assert loaded.processor("joy")["input_ids"]
    monkeypatch.chdir(finished.parents[2])
    assert_own_logits(loaded, finished)


@pytest.mark.parametrize(
    ("model", "epochs"),
    [
        # the fusion of tests/inference/test_predict.py has an mfcc, too
        pytest.param("mfcc", 2, marks=pytest.mark.long),
        pytest.param("speech_probe", 1, marks=pytest.mark.slow),
        pytest.param("wav2vec2", 1, marks=pytest.mark.long),
        pytest.param("speech_emotion", 1, marks=pytest.mark.long),
    ],
)
def test_sound_gives_the_runs_own_logits_exported_too(
    model: str, epochs: int, with_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_over(with_clips, tmp_path / "work")
    run_well(argv("train", f"model={model}", f"epochs={epochs}", "optimizer.lr=1e-3"), folder)
    monkeypatch.chdir(folder)
    assert_own_logits_exported_too(only_run(folder), tmp_path / "export", model != "mfcc")


@pytest.mark.slow
def test_frames_give_the_runs_own_logits_exported_too(
    fused: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fused)
    [run] = fused.glob("runs/video-clip_probe/*")
    assert_own_logits_exported_too(run, tmp_path / "export", True)


def assert_own_logits_exported_too(run: Path, target: Path, has_processor: bool) -> None:
    loaded = load_model(run)
    assert (loaded.processor is not None) == has_processor
    assert_own_logits(loaded, run)
    bundle = export(load_run(run), target, figures_of(load_run(run)))
    exported = load_model(bundle.folder)
    assert (exported.processor is not None) == has_processor
    assert_own_logits(exported, run)
    assert str(run.parents[2]) not in "".join(
        path.read_text() for path in bundle.folder.rglob("*.[jy][sa][om][nl]")
    )


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        load_model(folder)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_what_is_missing_or_damaged_is_named(finished: Path, tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "none")
    assert "no finished run" in refusal(tmp_path)
    folder = tmp_path / "runs" / "text-roberta" / "copy"
    shutil.copytree(finished, folder)
    assert "not prepared" in refusal(folder)  # the copy's cache lies elsewhere
    (tmp_path / "cache").symlink_to(finished.parents[2] / "cache")
    weights = folder / "checkpoints" / "best.ckpt"
    torch.save({"state_dict": {"head.weight": torch.ones(1)}}, weights)
    assert "do not fit its model" in refusal(folder)
    weights.write_bytes(weights.read_bytes()[:100])
    assert "best.ckpt: damaged" in refusal(folder)
    weights.unlink()
    assert "no checkpoints/best.ckpt" in refusal(folder)
    record = next((tmp_path / "cache" / "checkpoints").glob("mini-roberta*.json")).read_text()
    digest = load_run(finished).result.digests["checkpoint"]
    assert digest in record
    result = folder / "result.json"
    result.write_text(result.read_text().replace(digest, "0" * 64))
    assert "prepared again since" in refusal(folder)

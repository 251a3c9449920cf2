"""Embeddings of a finished run are what its last layer reads; a fusion asks for them, and predict
gives the fusion's own scores."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from meld_lightning.commands.cli import main
from meld_lightning.errors import UserError
from meld_lightning.inference.items.table import as_items
from meld_lightning.inference.parts import Scoring
from meld_lightning.inference.predictor import Asked, Predictor
from meld_lightning.runs.embeddings import FOLDER
from meld_lightning.runs.logits import logits_of
from meld_lightning.runs.run import load_run
from meld_lightning.training.embeddings import keep_embeddings
from tests.finished import only_run
from tests.running import folder_over


@pytest.mark.slow
def test_a_fusion_computes_what_it_reads_and_predict_gives_its_scores(
    finished: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = folder_over(prepared, tmp_path / "work")
    shutil.copytree(finished.parents[1], work / "runs")
    monkeypatch.chdir(work)
    run = load_run(only_run(Path()))
    ask = ["fuse", "fusion=embeddings", "folds=2", "fusion.steps=20", f"runs.text={run.folder}"]
    assert main(ask) == 0

    weights = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    weight_CD, bias_C = (
        weights[f"encoder.classifier.out_proj.{name}"].numpy() for name in ("weight", "bias")
    )
    for split in ("val", "test"):
        frame = run.logits(split)
        own_NC = logits_of(frame, run.result.labels)
        embeddings_ND = run.embeddings(split, frame["key"].tolist())
        present_N = frame["present"].to_numpy(bool)
        again_NC = embeddings_ND @ weight_CD.T + bias_C
        np.testing.assert_allclose(again_NC[present_N], own_NC[present_N], atol=1e-4)
        assert not embeddings_ND[~present_N].any()

    [folder] = Path("runs").glob("fusion-embeddings/*")
    frame = load_run(folder).logits("test")
    texts = load_texts(work).loc[frame["key"]]
    items = as_items({"id": key, "text": text} for key, text in texts.items())
    predictor = Predictor.from_pretrained(folder, device="cpu", allow_mini=True)
    answers = predictor.answer(items, Asked(), Scoring())
    expected_NC = np.exp(logits_of(frame, predictor.labels))
    found_NC = answers[[f"p.{label}" for label in predictor.labels]].to_numpy()
    np.testing.assert_allclose(found_NC, expected_NC, atol=1e-4)
    assert main(["export", f"from={folder}", "to=exported"]) == 0
    exported = Predictor.from_pretrained("exported", device="cpu", allow_mini=True)
    again = exported.answer(items[:5], Asked(), Scoring())
    pd.testing.assert_frame_equal(again, answers[:5], rtol=1e-3, atol=1e-4)

    shutil.rmtree(run.folder / FOLDER)
    best = run.folder / "checkpoints" / "best.ckpt"
    weights["encoder.classifier.out_proj.bias"] += torch.arange(7.0)
    torch.save({"state_dict": weights}, best)
    with pytest.raises(UserError, match="its weights give other logits of val than it left"):
        keep_embeddings(run)
    assert not (run.folder / FOLDER).exists()


def load_texts(folder: Path) -> pd.Series:
    [table] = folder.glob("cache/corpus/mini-*/*.parquet")
    return pd.read_parquet(table).set_index("key")["text"]

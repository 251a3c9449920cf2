"""Metrics of an epoch, accumulated batch by batch, equal those of all logits at once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from meld_lightning import metrics
from meld_lightning.data.audio import AudioDataModule
from meld_lightning.models.audio import MfccClassifier
from meld_lightning.models.scoring import SplitScores
from tests.small import LOADING, TRAINING, NoiseMedia, small_sources

CLASSES = 5


def drawn(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    logits_NC = torch.randn(count, CLASSES, generator=generator)
    logits_NC[::3] = logits_NC[::3].round()  # ties, which the first of equal classes wins
    return torch.randint(0, CLASSES - 1, (count,), generator=generator), logits_NC


@pytest.mark.parametrize("count", [1, 64, 1109])
def test_batches_score_like_the_whole_split(count: int) -> None:
    labels_N, logits_NC = drawn(count)
    expected = metrics.scores(labels_N.numpy(), logits_NC.numpy())
    found = SplitScores(CLASSES)
    for _ in range(2):  # the second epoch starts from zero
        found.reset()
        for part in torch.arange(count).split(64):
            found.update(labels_N[part], logits_NC[part])
    values = found.compute()
    assert values["loss"] == pytest.approx(expected["loss"], abs=1e-12)
    assert {**values, "loss": 0} == {**expected, "loss": 0}  # bit for bit: they choose the epoch


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_one_output_that_is_not_finite_makes_the_loss_nan(wrong: float) -> None:
    labels_N, logits_NC = drawn(64)
    logits_NC[5, CLASSES - 1] = wrong  # a class that is never true
    found = SplitScores(CLASSES)
    found.reset()
    found.update(labels_N, logits_NC)
    assert np.isnan(found.compute()["loss"])


def test_val_keeps_the_utterances_that_lack_the_modality(tmp_path: Path) -> None:
    media = NoiseMedia([0] * 6, [900, 800, 0, 2000, 700, 750])  # the first of val has no sound
    datamodule = AudioDataModule(
        batch_size=2,
        max_seconds=1.0,
        sampling="shuffled",
        sources=small_sources(tmp_path, media=media),
        **LOADING,
    )
    module = MfccClassifier("m", 8, 4, 0.0, "none", 0.0, **TRAINING).eval()
    trainer: Any = SimpleNamespace(
        datamodule=datamodule, world_size=1, global_rank=0, current_epoch=0
    )
    module._trainer = trainer
    with torch.inference_mode():
        batches = list(datamodule.val_dataloader())
        module.on_validation_epoch_start()
        for number, batch in enumerate(batches):
            module.validation_step(batch, number)
        module.on_validation_epoch_end()
        scored = [module.predict_step(batch, number) for number, batch in enumerate(batches)]
    rows_N, labels_N, logits_NC, finite_N = module.completed(scored, "val", datamodule)
    assert rows_N.tolist() == [2, 3]
    assert finite_N.all()
    prior_C = np.log((TRAINING["train_counts"] + 1) / (TRAINING["train_counts"] + 1).sum())
    np.testing.assert_allclose(logits_NC[0], prior_C, atol=1e-6)
    assert module.val_metrics == pytest.approx(metrics.scores(labels_N, logits_NC), abs=1e-12)

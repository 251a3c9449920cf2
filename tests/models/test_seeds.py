"""The random numbers of a training step: the same when a run is resumed, others for each rank."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from meld_lightning.data.audio import AudioBatch
from meld_lightning.models.audio import AudioClassifier, MfccClassifier
from tests.small import TRAINING, save_speech

WITHOUT_DROPOUT: dict[str, Any] = {
    f"{place}_dropout": 0.0 for place in ("hidden", "attention", "activation", "feat_proj", "final")
}
MASKED: dict[str, Any] = {"mask_time_prob": 0.3, "mask_time_length": 3}


def batch_of(*samples: int) -> AudioBatch:
    wave = torch.randn(len(samples), max(samples), generator=torch.Generator().manual_seed(0))
    for row, count in enumerate(samples):
        wave[row, count:] = 0
    rows = torch.arange(len(samples))
    owned = torch.ones(len(samples), dtype=torch.bool)
    return AudioBatch(wave, torch.tensor(samples), rows % 3, rows, owned, rows % 3)


def step(model: Any, batch: AudioBatch, at: tuple[int, int, int, int]) -> torch.Tensor:
    """Losses of a training step with this seed, global step, rank and microbatch."""
    model.seed, global_step, rank, microbatch = at
    model._trainer = SimpleNamespace(
        global_step=global_step, global_rank=rank, accumulate_grad_batches=2, world_size=2
    )
    model.on_train_batch_start(batch, microbatch)
    return model.losses(batch).detach()


def masking_model(folder: Path) -> AudioClassifier:
    """Nothing is random in it but SpecAugment's masks, which transformers draws from numpy."""
    return AudioClassifier(
        name="w",
        checkpoint=save_speech(folder, **WITHOUT_DROPOUT, **MASKED),
        train="all",
        pooling="mean",
        layer_weights=False,
        spec_augment=True,
        projection=8,
        dropout=0.0,
        class_weights="none",
        label_smoothing=0.0,
        **TRAINING,
    )


@pytest.mark.parametrize("kind", ["dropout", "masks"])
def test_a_step_draws_by_seed_step_rank_and_microbatch(kind: str, tmp_path: Path) -> None:
    model = (
        MfccClassifier("m", 20, 32, 0.5, "none", 0.0, **TRAINING)
        if kind == "dropout"
        else masking_model(tmp_path)
    ).train()
    batch = batch_of(6400, 5000, 4000)
    first = step(model, batch, (1, 0, 0, 0))
    torch.rand(5), np.random.rand(5)  # what other code draws in between does not matter
    assert torch.equal(step(model, batch, (1, 0, 0, 0)), first)
    for other in ((2, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1)):
        assert not torch.equal(step(model, batch, other), first), other


def test_spec_augment_masks_the_frames_that_a_clip_has(tmp_path: Path) -> None:
    model = masking_model(tmp_path).train()
    inner: Any = model.encoder.model
    with torch.no_grad():
        inner.masked_spec_embed.fill_(77.0)
    seen: list[torch.Tensor] = []
    inner.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    batch = batch_of(19200, 3200)  # 59 and 9 frames
    short = 0
    for seed in range(8):
        step(model, batch, (seed, 0, 0, 0))
        masked_NF = (seen[-1] == 77.0).all(-1)
        assert masked_NF[0].any()
        assert not masked_NF[1, 9:].any(), "masks lie in the padding"
        short += int(masked_NF[1].any())
    assert short == 8, "some short clips got no mask of their own"

"""The base of all models: loss, class weights and targets."""

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from meld_lightning import load_run
from meld_lightning.models.class_weights import class_weights
from tests.running import Command, folder_over

COUNTS = np.array([4710, 1743, 1205, 1109, 683, 271, 268])  # MELD's train split


def trainer(world_size: int, microbatches: int) -> Any:
    return SimpleNamespace(
        world_size=world_size, accumulate_grad_batches=microbatches, global_step=0
    )


def test_inverse_weights_are_scikit_learns_balanced_ones() -> None:
    labels = np.repeat(np.arange(7), COUNTS)
    balanced = compute_class_weight("balanced", classes=np.arange(7), y=labels)
    np.testing.assert_allclose(
        class_weights(COUNTS, "inverse"), balanced / balanced.mean(), rtol=1e-6
    )


def test_effective_weights_follow_the_paper_and_vary_less_than_inverse_ones() -> None:
    # Cui et al. 2019, equation 2
    expected = np.array([(1 - 0.999) / (1 - 0.999**n) for n in COUNTS])
    effective = class_weights(COUNTS, "effective").numpy()
    np.testing.assert_allclose(effective, expected / expected.mean(), rtol=1e-6)
    inverse = class_weights(COUNTS, "inverse").numpy()
    assert 1 < effective[-1] / effective[0] < inverse[-1] / inverse[0]
    assert class_weights(np.array([5, 0, 5]), "inverse").tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("weighting", "smoothing", "kind"),
    [
        ("none", 0.0, "cross_entropy"),
        ("inverse", 0.0, "cross_entropy"),
        ("inverse", 0.2, "cross_entropy"),
        ("none", 0.2, "logit_adjusted"),
    ],
)
def test_the_loss_is_torchs_own(
    weighting: str, smoothing: float, kind: str, compose_train: Callable[..., Any]
) -> None:
    """One process, several ranks and several microbatches all give torch.nn.CrossEntropyLoss with
    class weights, of adjusted logits where that is asked for."""
    from meld_lightning.runs.inputs import read_inputs
    from meld_lightning.training.build import build

    asked = [
        "model=roberta",
        f"model.class_weights={weighting}",
        f"model.label_smoothing={smoothing}",
        f"model.loss={kind}",
    ]
    cfg = compose_train(asked)
    table, _, datamodule, module = build(cfg, read_inputs(cfg))
    module.eval()
    batch = next(iter(datamodule.train_dataloader()))
    loss = torch.nn.CrossEntropyLoss(weight=module.class_weights_C, label_smoothing=smoothing)
    logits_NC = module(batch)
    if kind == "logit_adjusted":
        counts_C = np.bincount(table["label"][table["split"] == "train"], minlength=7)
        logits_NC = logits_NC + torch.tensor(np.log(counts_C + 1), dtype=torch.float32)
    expected = loss(logits_NC, batch.labels_N).item()
    module._trainer = trainer(1, 1)
    assert module.training_step(batch, 0).item() == pytest.approx(expected, abs=1e-5)
    for world_size, microbatches in ((2, 1), (1, 2), (2, 3)):
        shares = []
        for rank in range(world_size):
            datamodule.rank, datamodule.world_size = rank, world_size
            datamodule.microbatches = microbatches
            module._trainer = trainer(world_size, microbatches)
            batches = itertools.islice(datamodule.train_dataloader(), microbatches)
            shares += [module.training_step(batch, 0).item() for batch in batches]
        # DDP averages over ranks, Lightning over microbatches
        assert np.mean(shares) == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_sentiment_as_the_target_with_every_remedy_for_imbalance(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    folder = folder_over(prepared, tmp_path / "sentiment")
    done = meld_lightning(
        "train",
        "model=roberta",
        "target=sentiment",
        "epochs=1",
        "optimizer=adafactor",
        "scheduler.name=cosine",
        "data.sampling=oversampled",
        "model.class_weights=effective",
        "model.label_smoothing=0.1",
        "numerics=bf16",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    run = load_run(next(folder.glob("runs/*/*/result.json")).parent)
    assert run.result.labels == ("neutral", "positive", "negative")
    assert set(run.logits("test")["label"]) == {"neutral", "positive", "negative"}

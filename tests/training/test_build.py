"""What a training is built from: the priors of missing utterances are train's, and no other's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from meld_lightning.runs.inputs import read_inputs
from meld_lightning.training.build import build


@pytest.mark.slow
def test_missing_utterances_get_the_prior_of_train(compose_train: Callable[..., Any]) -> None:
    cfg = compose_train(["model=roberta", "model.class_weights=inverse"])
    table, labels, _, module = build(cfg, read_inputs(cfg))
    counts = {
        split: np.bincount(rows["label"], minlength=len(labels))
        for split, rows in table.groupby("split")
    }
    counts["all"] = np.bincount(table["label"], minlength=len(labels))
    prior = {name: np.log((of + 1) / (of + 1).sum()) for name, of in counts.items()}
    found_C = torch.log_softmax(module.log_prior_C, 0).numpy()
    np.testing.assert_allclose(found_C, prior.pop("train"), atol=1e-6)
    assert all(np.abs(found_C - other_C).max() > 0.01 for other_C in prior.values())
    weights_C = 1 / counts["train"]  # the weights of the classes are train's as well
    found_C = module.class_weights_C.numpy()
    np.testing.assert_allclose(found_C / found_C.sum(), weights_C / weights_C.sum(), rtol=1e-5)


@pytest.mark.slow
def test_fp32_is_computed_in_fp32_by_cudnn_too(
    compose_train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # torch's own default
    cfg = compose_train(["model=roberta"])
    build(cfg, read_inputs(cfg))
    assert not torch.backends.cudnn.allow_tf32


def test_batches_are_pinned_for_a_gpu_that_is_used_alone(
    compose_train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = compose_train(["model=roberta", "machine.accelerator=cpu"])
    built = build(cfg, read_inputs(cfg))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not built.datamodule.val_dataloader().pin_memory
    built.datamodule.on_cuda = True
    assert built.datamodule.val_dataloader().pin_memory

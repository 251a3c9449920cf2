"""Metrics accumulated batch by batch equal those of all logits at once."""

import numpy as np
import pytest
import torch

from meld_lightning import metrics
from meld_lightning.models.scoring import SplitScores

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

"""The variants of cross-entropy against their definitions."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from meld_lightning.models.losses import utterance_losses

COUNTS = torch.tensor([70.0, 20.0, 10.0])
WEIGHTS = torch.tensor([0.5, 1.0, 1.5])


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(8, 3), torch.tensor([0, 1, 2, 0, 0, 1, 2, 0])


@pytest.mark.parametrize("soft", [False, True])
def test_the_focal_loss_is_cross_entropy_less_what_is_learnt(soft: bool) -> None:
    logits, labels = drawn()
    targets: Any = functional.one_hot(labels, 3).float() if soft else labels
    found = utterance_losses("focal", logits, targets, COUNTS.log(), WEIGHTS, 0.0)
    for row, label in enumerate(labels.tolist()):
        right = math.exp(logits[row, label]) / sum(map(math.exp, logits[row].tolist()))
        expected = -((1 - right) ** 2) * math.log(right) * WEIGHTS[label]
        assert found[row].item() == pytest.approx(float(expected), rel=1e-5)


def test_adjusted_logits_of_zero_answer_with_the_class_shares() -> None:
    """So that a model which knows nothing has no gradient on average over train."""
    logits = torch.zeros(100, 3, requires_grad=True)
    labels = torch.repeat_interleave(torch.arange(3), COUNTS.long())
    ones = torch.ones(3)
    found = utterance_losses("logit_adjusted", logits, labels, COUNTS.log(), ones, 0.0)
    for label, count in enumerate(COUNTS.tolist()):
        torch.testing.assert_close(
            found[labels == label], torch.full((int(count),), -math.log(count / 100))
        )
    found.sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad.sum(0), torch.zeros(3), atol=1e-4, rtol=0)

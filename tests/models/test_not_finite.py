"""The first loss that is not finite: whose fault it is."""

import pytest
import torch

from meld_lightning.models.not_finite import Culprit, FirstNotFinite

NAN, INF = float("nan"), float("inf")
ROWS = torch.tensor([7, 8, 9])


def culprit(*steps: list[float], first: int = 0) -> Culprit | None:
    """Whom the losses of these steps blame, then of a step at which no weight is finite."""
    found = FirstNotFinite()
    for number, losses in enumerate([*steps, [NAN, NAN, NAN]], start=first):
        found.update(torch.tensor(losses), ROWS, number)
    return found.culprit(lambda note: note[None])


@pytest.mark.parametrize("wrong", [NAN, INF])
def test_one_of_a_sound_batch_is_at_fault(wrong: float) -> None:
    assert culprit([1.0, 2.0, 0.5], [1.0, wrong, 0.5]) == Culprit(8, 1)


def test_before_any_step_the_learning_rate_is_not_at_fault() -> None:
    assert culprit([NAN, NAN, NAN]) == Culprit(9, 0)


def test_a_model_that_diverges_is_at_fault_itself() -> None:
    assert culprit([1.0, 2.0, 0.5]) is None  # all at once
    assert culprit([1.0, 2.0, 0.5], [1e30, INF, 4e6]) is None  # one overflows first


def test_nobody_is_at_fault_while_all_is_finite() -> None:
    found = FirstNotFinite()
    found.update(torch.tensor([1.0, 2.0, 0.5]), ROWS, 0)
    assert found.culprit(lambda note: note[None]) is None


def test_of_several_ranks_the_first_counts() -> None:
    """The others' weights are no longer finite a step later."""
    notes = torch.tensor([[4.0, 3.0, 0.0, 0.0], [5.0, 2.0, 1.0, 0.7], [-1.0, 0.0, 0.0, 0.0]])
    assert FirstNotFinite().culprit(lambda note: notes) == Culprit(5, 2)

"""The first loss that is not finite: whose fault it is."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from meld_lightning.models.classifier import Classifier
from meld_lightning.models.not_finite import Culprit, FirstNotFinite
from tests.small import TRAINING

CLASSIFIER = {name: value for name, value in TRAINING.items() if name != "labels"} | {
    "class_weights": "none",
    "label_smoothing": 0.0,
}
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


def test_before_any_step_an_input_is_at_fault_only_beside_a_finite_loss() -> None:
    assert culprit([NAN, 1e30, 1.0]) == Culprit(7, 0)
    found = culprit([NAN, NAN, NAN])
    assert found == Culprit(9, 0, checkpoint=True)
    message = found.message("val/dia9_utt9")
    assert "the checkpoint's weights or the precision are at fault" in message
    assert "remove" not in message


def test_microbatches_of_a_step_count_together() -> None:
    found = FirstNotFinite()
    for loss, row in ((1.0, 7), (NAN, 8), (NAN, 9)):
        found.update(torch.tensor([loss]), torch.tensor([row]), 3)
    assert found.culprit(lambda note: note[None]) == Culprit(8, 3)


def test_what_was_noted_outlives_a_killed_run(tmp_path: Path) -> None:
    """Else it would find all losses not finite, and blame the learning rate."""
    first, resumed = (Classifier(**CLASSIFIER) for _ in range(2))
    for module in (first, resumed):
        module._trainer = SimpleNamespace(world_size=1, global_rank=0)  # type: ignore[assignment]
    first.first_not_finite.update(torch.tensor([1.0, NAN, 0.5]), ROWS, 3)
    saved: dict[str, Any] = {}
    first.on_save_checkpoint(saved)
    torch.save(saved, tmp_path / "last.ckpt")
    resumed.on_load_checkpoint(torch.load(tmp_path / "last.ckpt", weights_only=True))
    resumed.first_not_finite.update(torch.tensor([NAN, NAN, NAN]), ROWS, 4)
    assert resumed.first_not_finite.culprit(lambda note: note[None]) == Culprit(8, 3)


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


def test_a_checkpoint_is_at_fault_only_if_no_rank_had_a_finite_loss() -> None:
    nowhere, later, sound = [4.0, 0.0, 0.0, 0.0], [5.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 2.0, 1.0]
    for other, expected in ((nowhere, True), (later, False), (sound, False)):
        found = FirstNotFinite()
        found.note = torch.tensor([nowhere, other])
        assert found.culprit(lambda notes: notes) == Culprit(4, 0, checkpoint=expected)

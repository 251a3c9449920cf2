"""The epoch that a run keeps: the first of the best by the monitored metric of val."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from meld_lightning.models.audio import MfccClassifier
from meld_lightning.training.callbacks import BestEpoch
from tests.small import TRAINING


@pytest.mark.parametrize(
    ("monitor", "values", "kept"),
    [
        ("val/weighted_f1", [0.5, 0.6, 0.6, 0.4], 2),
        ("val/loss", [1.2, 0.9, 0.9, 1.0], 2),
        ("val/loss", [0.9, 0.9, 0.8], 3),
    ],
)
def test_the_first_of_equal_epochs_is_kept(
    monitor: str, values: list[float], kept: int, tmp_path: Path
) -> None:
    module = MfccClassifier("m", 4, 2, 0.0, "none", 0.0, **TRAINING)
    callback = BestEpoch(tmp_path, monitor)
    for epoch, value in enumerate(values):
        trainer: Any = SimpleNamespace(
            current_epoch=epoch, global_step=10 * (epoch + 1), is_global_zero=True
        )
        module.val_metrics = {callback.metric: value}
        with torch.no_grad():
            module.get_parameter("head.1.bias").fill_(epoch + 1)
        callback.on_validation_end(trainer, module)
    assert callback.choice is not None
    assert (callback.choice.epoch, callback.choice.step) == (kept, 10 * kept)
    saved = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert (saved["head.1.bias"] == kept).all()

"""The bars on a terminal say which epoch is trained and which split is scored."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from meld_lightning.training.progress import EpochBar


class Tiny(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return ((self.weight - batch) ** 2).mean()

    def validation_step(self, batch: torch.Tensor) -> None:
        pass

    def predict_step(self, batch: torch.Tensor) -> torch.Tensor:
        return batch

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_the_bars_name_epochs_and_splits(capsys: pytest.CaptureFixture[str]) -> None:
    bar = EpochBar()
    rows: Any = torch.ones(4, 1)
    data: DataLoader[Any] = DataLoader(rows)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[bar],
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    module = Tiny()
    trainer.fit(module, data, data)
    bar.split = "test"
    trainer.predict(module, data)
    said = capsys.readouterr().out
    for expected in ("epoch 2 of 2", "scoring val", "scoring test", "loss=0.64"):
        assert expected in said
    assert "DataLoader" not in said

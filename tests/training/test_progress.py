"""The bars on a terminal say which epoch is trained and which split is scored; elsewhere lines say
how far a long epoch is."""

import logging
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from meld_lightning.training.progress import EpochBar, EpochQuarters


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


def fitted(shows: pl.Callback, batches: int, bar: bool) -> tuple[pl.Trainer, Tiny, DataLoader[Any]]:
    """Two epochs of so many batches."""
    rows: Any = torch.ones(batches, 1)
    data: DataLoader[Any] = DataLoader(rows)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[shows],
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=bar,
    )
    module = Tiny()
    trainer.fit(module, data, data)
    return trainer, module, data


@pytest.mark.parametrize(("long_s", "lines"), [(0, 6), (3600, 0)])
def test_a_long_epoch_has_a_line_at_its_quarters(
    long_s: float, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "meld_lightning"):
        fitted(EpochQuarters(long_s), 10, bar=False)
    said = [one.getMessage() for one in caplog.records if one.name.startswith("meld_lightning")]
    assert len(said) == lines
    if said:
        assert [one.partition(" (")[0] for one in said[3:]] == [
            f"epoch 2 of 2: {share} % trained" for share in (30, 50, 80)
        ]


def test_the_bars_name_epochs_and_splits(capsys: pytest.CaptureFixture[str]) -> None:
    bar = EpochBar()
    trainer, module, data = fitted(bar, 4, bar=True)
    bar.split = "test"
    trainer.predict(module, data)
    said = capsys.readouterr().out
    for expected in ("epoch 2 of 2", "scoring val", "scoring test", "loss=0.64"):
        assert expected in said
    assert "DataLoader" not in said

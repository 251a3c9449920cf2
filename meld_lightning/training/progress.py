"""The bars that a training shows on a terminal: epoch, loss and time left, and the split being
scored.

Used by build.py's Trainer. Elsewhere `EpochHistory` logs a line per epoch.
"""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar


class EpochBar(TQDMProgressBar):
    """Lightning's bar with epochs counted from 1, and with the loss of the last batch."""

    def __init__(self) -> None:
        super().__init__()
        self._loss: Any = None  # read where the bar is drawn: reading it makes a GPU wait
        self.split = "val"  # the one that Trainer.predict is about to score

    def on_train_epoch_start(self, trainer: pl.Trainer, *modules: Any) -> None:
        super().on_train_epoch_start(trainer, *modules)
        epoch = f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
        self.train_progress_bar.set_description(epoch)

    @property
    def validation_description(self) -> str:
        return "scoring val"

    @property
    def predict_description(self) -> str:
        return f"scoring {self.split}"

    # Lightning's own two hooks add the number of the dataloader, of which there is one only

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self.has_dataloader_changed(dataloader_idx):
            self.val_progress_bar.reset(int(self.total_val_batches_current_dataloader))

    def on_predict_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self.has_dataloader_changed(dataloader_idx):
            self.predict_progress_bar.reset(int(self.total_predict_batches_current_dataloader))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._loss = outputs["loss"].detach() * trainer.accumulate_grad_batches
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        return {} if self._loss is None else {"loss": f"{float(self._loss):.3f}"}

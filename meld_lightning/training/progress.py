"""What a training shows of its progress: bars on a terminal, elsewhere a few lines.

Used by build.py's Trainer. `EpochHistory` logs a line per epoch in either case.
"""

import logging
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar

logger = logging.getLogger(__name__)

LONG_S = 30.0  # without a line; a log file or Slurm's output shows that a training goes on


class EpochQuarters(pl.Callback):
    """Logs a line at each quarter of an epoch if the last one is at least `long_s` seconds old, so
    that short epochs add none. The end of an epoch has a line of its own."""

    def __init__(self, long_s: float = LONG_S) -> None:
        self.long_s = long_s
        self._began = self._said = 0.0

    def on_train_start(self, trainer: pl.Trainer, *modules: Any) -> None:
        self._began = self._said = time.monotonic()  # a resumed run begins within an epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, *modules: Any) -> None:
        self._began = self._said = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        done, every = batch_idx + 1, int(trainer.num_training_batches)
        is_quarter = done < every and 4 * done // every > 4 * batch_idx // every
        if not (is_quarter and trainer.is_global_zero):
            return
        if (now := time.monotonic()) - self._said >= self.long_s:
            self._said = now
            logger.info(
                "epoch %d of %s: %d %% trained (%.0f s)",
                trainer.current_epoch + 1,
                trainer.max_epochs,
                100 * done // every,
                now - self._began,
            )


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

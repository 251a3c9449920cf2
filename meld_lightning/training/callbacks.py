"""What a running fit leaves in its run folder: checkpoints/last.ckpt to go on from,
checkpoints/best.ckpt, metrics.csv.

Used by training. Checkpoints hold tensors and plain values only and are read with
weights_only=True.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.io import TorchCheckpointIO

from meld_lightning.errors import UserError
from meld_lightning.models.classifier import Classifier
from meld_lightning.storage.atomic import atomic_write, write_csv
from meld_lightning.tracking.loggers import log_row
from meld_lightning.training.memory import recount
from meld_lightning.training.signals import StopRequest


class RunCheckpoints(pl.Callback):
    """Saves at batch boundaries, keeps the epoch that `monitor` prefers, and writes one row of
    metrics.csv an epoch.

    Args:
        folder: the run folder.
        monitor: a val/ metric; higher is better unless it is val/loss.
        every_s: seconds between checkpoints within an epoch.
        stop: asks for a checkpoint at the next batch boundary and the end of the fit.
        loggers: told of each row too; of rank 0 alone.
    """

    def __init__(
        self,
        folder: Path,
        monitor: str,
        every_s: float,
        stop: StopRequest,
        loggers: Sequence[Logger] = (),
    ) -> None:
        self.loggers = list(loggers)
        self.folder, self.metric, self.every_s, self.stop = (
            folder,
            monitor.removeprefix("val/"),
            every_s,
            stop,
        )
        self.sign = -1 if self.metric == "loss" else 1
        self.best: dict[str, Any] = {}
        self.history: list[dict[str, float]] = []
        self._saved_at = self._started_at = time.monotonic()
        self._wall_before = 0.0

    @property
    def wall_s(self) -> float:
        """Seconds this run has taken, those before it was stopped and resumed included."""
        return self._wall_before + time.monotonic() - self._started_at

    @property
    def last_ckpt(self) -> Path:
        return self.folder / "checkpoints" / "last.ckpt"

    @property
    def best_ckpt(self) -> Path:
        return self.folder / "checkpoints" / "best.ckpt"

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "history": self.history, "wall_s": self.wall_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.history = state_dict["best"], state_dict["history"]
        self._wall_before = state_dict["wall_s"]
        for row in self.history:  # a killed run may have saved what its loggers had not written yet
            log_row(self.loggers, row)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["microbatches"] = trainer.accumulate_grad_batches

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        recount(progress, checkpoint["microbatches"], trainer.accumulate_grad_batches)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check_ranks(trainer)
        # after Lightning has put up its own SIGTERM handler, which would end it without saving
        self.stop.take_over()
        self.stop.deferred, self._saved_at = True, time.monotonic()
        loader: Any = trainer.train_dataloader
        loader.handed_out = (
            trainer.global_step * trainer.accumulate_grad_batches
        )  # a resumed run goes on after these

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.stop.take_over()  # as above

    def _check_ranks(self, trainer: pl.Trainer) -> None:
        """Every rank reads for itself where the run stands; a shared file system may show one of
        them an older file."""
        if trainer.world_size == 1:
            return
        mine = (trainer.global_step, trainer.accumulate_grad_batches)
        all_ranks: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(all_ranks, mine)
        if len(set(all_ranks)) > 1:
            raise UserError(
                f"{self.folder}: its ranks would go on from different steps {all_ranks}: the file"
                " system shows them different files; run the same command again"
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        ready = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        if ready == trainer.num_training_batches or ready % trainer.accumulate_grad_batches:
            # the epoch's last batch is followed by validation and saved after it, a piece by the
            # batch's others
            return
        due, asked = self._agreed(trainer)
        if due or asked:
            self._save(trainer)
        if asked:
            self._leave(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        value = pl_module.val_metrics[self.metric]
        if not self.best or self.sign * value > self.sign * self.best["value"]:
            self.best = {
                "epoch": trainer.current_epoch + 1,
                "step": trainer.global_step,
                "value": value,
            }
            self._atomically(trainer, self.best_ckpt, lambda path: _save_weights(pl_module, path))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "train/fit_loss": pl_module.epoch_fit_loss(),
        }
        self.history.append(
            row | {f"val/{name}": value for name, value in pl_module.val_metrics.items()}
        )
        if self.best["epoch"] == row["epoch"]:
            self.best["fit_loss"] = row["train/fit_loss"]
        if trainer.is_global_zero:
            write_csv(self.folder / "metrics.csv", self.history)
        log_row(
            self.loggers, self.history[-1]
        )  # before it is saved: killed in between, a run says it twice
        self._save(trainer)
        if self._agreed(trainer)[1]:
            self._leave(trainer, pl_module)

    def scored_only(self, val: dict[str, Any]) -> None:
        """Notes the one score of a model that nothing is fitted of, as its epoch 0."""
        self.best = {"epoch": 0, "step": 0, "value": val[self.metric]}
        figures = {f"val/{name}": value for name, value in val.items() if isinstance(value, float)}
        self.history = [{"epoch": 0, "step": 0, **figures}]
        write_csv(self.folder / "metrics.csv", self.history)
        log_row(self.loggers, self.history[-1])

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.stop.deferred = False

    def _agreed(self, trainer: pl.Trainer) -> tuple[bool, bool]:
        """Whether any rank finds a checkpoint due, and whether any was asked to stop: the same
        answer on all."""
        flags = [time.monotonic() - self._saved_at >= self.every_s, self.stop.asked]
        if trainer.world_size > 1:
            shared = torch.tensor(flags, dtype=torch.int, device=trainer.strategy.root_device)
            torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MAX)
            flags = [bool(flag) for flag in shared.tolist()]
        return flags[0], flags[1]

    def _save(self, trainer: pl.Trainer) -> None:
        self._atomically(trainer, self.last_ckpt, trainer.save_checkpoint, collective=True)
        self._saved_at = time.monotonic()

    def _leave(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, Classifier)
        raise self.stop.leaving(
            f"{self.folder} is saved at step {trainer.global_step} of {module.total_steps}"
        )

    def _atomically(
        self,
        trainer: pl.Trainer,
        path: Path,
        write: Callable[[Path], Any],
        collective: bool = False,
    ) -> None:
        """A reader finds the old file or the new one, never half of one."""
        if trainer.is_global_zero:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as fresh:
                write(fresh)
        elif collective:
            write(path)  # which no rank but the first does; it takes part
        if collective:
            trainer.strategy.barrier()  # no rank leaves before the file is there


class PlainFile(TorchCheckpointIO):
    """Writes a checkpoint where it is told to: Lightning's own way wants memory and TMPDIR for one
    more of it."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        save_tensors(checkpoint, Path(path))


def save_tensors(value: Any, path: Path) -> None:
    """torch.save into a file of Python's, whose OSError tells why it cannot be written; torch's own
    says nothing."""
    with path.open("wb") as file:
        torch.save(value, file)


def _save_weights(module: pl.LightningModule, path: Path) -> None:
    save_tensors({"state_dict": module.state_dict()}, path)

"""What a fit leaves in its run folder, one callback a concern.

Writes metrics.csv, checkpoints/best.ckpt (the epoch chosen on val) and checkpoints/last.ckpt (to
resume from). Used by training. Checkpoints hold tensors and plain values only and are read with
weights_only=True.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from meld_lightning.errors import UserError
from meld_lightning.models.classifier import Classifier
from meld_lightning.runs.run import last_checkpoint
from meld_lightning.storage.atomic import atomic_write, write_csv
from meld_lightning.tracking.log import log_row
from meld_lightning.training.checkpoint_file import save_tensors
from meld_lightning.training.memory import MicrobatchProgress
from meld_lightning.training.signals import StopRequest

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """The epoch (from 1; 0 where nothing is fitted) that the monitored val metric prefers."""

    epoch: int
    step: int
    value: float


class BestEpoch(pl.Callback):
    """Keeps the weights of the first epoch with the best monitored val metric.

    Args:
        folder: the run folder.
        monitor: a val/ metric; higher is better unless it is val/loss.
    """

    def __init__(self, folder: Path, monitor: str) -> None:
        self.path = folder / "checkpoints" / "best.ckpt"
        self.metric = monitor.removeprefix("val/")
        self.sign = -1 if self.metric == "loss" else 1
        self.choice: Choice | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        value = pl_module.val_metrics[self.metric]
        if self.choice is not None and self.sign * value <= self.sign * self.choice.value:
            return
        self.choice = Choice(trainer.current_epoch + 1, trainer.global_step, value)
        if trainer.is_global_zero:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.path) as fresh:
                save_tensors({"state_dict": pl_module.state_dict()}, fresh)

    def state_dict(self) -> dict[str, Any]:
        return asdict(self.choice) if self.choice else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.choice = Choice(**state_dict) if state_dict else None


class EpochHistory(pl.Callback):
    """Writes one row of metrics.csv per epoch, reports it in a line and passes it to the loggers.

    Args:
        folder: the run folder.
        loggers: Lightning's; empty on every rank but 0.
    """

    def __init__(self, folder: Path, loggers: Sequence[Logger] = ()) -> None:
        self.path, self.loggers = folder / "metrics.csv", list(loggers)
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "train/fit_loss": pl_module.epoch_fit_loss(),
        }
        self.rows.append(row | _of_val(pl_module.val_metrics))
        if trainer.is_global_zero:
            write_csv(self.path, self.rows)
            logger.info(
                "epoch %d of %s: train loss %.4f, val weighted F1 %.4f",
                row["epoch"],
                trainer.max_epochs,
                row["train/fit_loss"],
                pl_module.val_metrics["weighted_f1"],
            )
        # logged before the checkpoint is saved: a run killed in between logs the epoch twice,
        # rather than never
        log_row(self.loggers, self.rows[-1])

    def record_scores(self, val: Mapping[str, Any]) -> None:
        """Records the only val scores of a model that is not fitted, as epoch 0."""
        figures = {name: value for name, value in val.items() if isinstance(value, float)}
        self.rows = [{"epoch": 0, "step": 0} | _of_val(figures)]
        write_csv(self.path, self.rows)
        log_row(self.loggers, self.rows[-1])

    def fit_loss(self, epoch: int) -> float | None:
        """Mean training loss of an epoch; None if nothing was fitted."""
        return next((row.get("train/fit_loss") for row in self.rows if row["epoch"] == epoch), None)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]
        for row in self.rows:  # a killed run may have saved rows that its loggers had not written
            log_row(self.loggers, row)


class LastCheckpoint(pl.Callback):
    """Saves what a killed run resumes from: after the first step or epoch that ends `every_s`
    seconds after the last save, and after the last epoch. Measures the run's wall time across
    restarts.

    Args:
        folder: the run folder.
        every_s: seconds between checkpoints.
    """

    def __init__(self, folder: Path, every_s: float) -> None:
        self.folder, self.path, self.every_s = folder, last_checkpoint(folder), every_s
        self._saved_at = self._started_at = time.monotonic()
        self._wall_s_before = 0.0
        self.saved_step: int | None = None  # of the last save by this process

    @property
    def wall_s(self) -> float:
        """Seconds this run has taken, including those before it was stopped and resumed."""
        return self._wall_s_before + time.monotonic() - self._started_at

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check_ranks(trainer)
        self._saved_at = time.monotonic()
        loader: Any = trainer.train_dataloader
        # a resumed run continues after the batches it has seen
        loader.handed_out = trainer.global_step * trainer.accumulate_grad_batches

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        if between_steps(trainer):
            self._save_if(trainer, self._due)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save_if(trainer, self._due or trainer.current_epoch + 1 == trainer.max_epochs)

    @property
    def _due(self) -> bool:
        return time.monotonic() - self._saved_at >= self.every_s

    def _save_if(self, trainer: pl.Trainer, wanted: bool) -> None:
        if trainer.strategy.reduce_boolean_decision(wanted, all=False):
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Saves the state of all ranks, which all have to call this."""
        if trainer.is_global_zero:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.path) as fresh:
                trainer.save_checkpoint(fresh)
        else:
            trainer.save_checkpoint(self.path)  # contributes its state; rank 0 writes the file
        trainer.strategy.barrier()  # no rank ends before the file is there
        self._saved_at, self.saved_step = time.monotonic(), trainer.global_step

    def state_dict(self) -> dict[str, Any]:
        return {"wall_s": self.wall_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._wall_s_before = state_dict["wall_s"]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.state_key not in checkpoint["callbacks"]:
            raise UserError(
                f"{self.path}: saved by another version of meld-lightning; delete it to start the"
                " run over"
            )

    def _check_ranks(self, trainer: pl.Trainer) -> None:
        """Each rank reads the checkpoint itself; file systems may show some an older one."""
        if trainer.world_size == 1:
            return
        own = (trainer.global_step, trainer.accumulate_grad_batches)
        all_ranks: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(all_ranks, own)
        if len(set(all_ranks)) > 1:
            raise UserError(
                f"{self.folder}: the ranks would resume from different steps {all_ranks} because"
                " the file system shows them different files; run the same command again"
            )


class StopBetweenSteps(pl.Callback):
    """Defers a stop that is asked for during a fit to the end of a step or an epoch, where all
    ranks save and raise together.

    Args:
        request: the process's stop request.
        last: saves the run; comes before this callback in the Trainer's list.
    """

    def __init__(self, request: StopRequest, last: LastCheckpoint) -> None:
        self.request, self.last = request, last

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning has installed its own SIGTERM handler by now, which would not save
        self.request.take_over()
        self.request.deferred = True

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.request.take_over()  # as above

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        if between_steps(trainer):
            self._stop_if_asked(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_if_asked(trainer, pl_module)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.request.deferred = False

    def _stop_if_asked(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.strategy.reduce_boolean_decision(self.request.asked, all=False):
            return
        assert isinstance(pl_module, Classifier)
        if self.last.saved_step != trainer.global_step:
            self.last.save(trainer)
        raise self.request.leaving(
            f"{self.last.folder} is saved at step {trainer.global_step} of {pl_module.total_steps}"
        )


@dataclass(frozen=True)
class RunCallbacks:
    """The callbacks of a run. Iterating gives them in the order in which they have to be called:
    a checkpoint holds what the others have recorded."""

    best: BestEpoch
    history: EpochHistory
    last: LastCheckpoint
    stop: StopBetweenSteps

    @classmethod
    def of_run(
        cls,
        folder: Path,
        monitor: str,
        every_s: float,
        stop: StopRequest,
        loggers: Sequence[Logger] = (),
    ) -> Self:
        """The callbacks of the run in `folder`; the arguments are those of the classes above."""
        last = LastCheckpoint(folder, every_s)
        return cls(
            BestEpoch(folder, monitor),
            EpochHistory(folder, loggers),
            last,
            StopBetweenSteps(stop, last),
        )

    def __iter__(self) -> Iterator[pl.Callback]:
        yield from (MicrobatchProgress(), self.best, self.history, self.last, self.stop)

    def record_scores(self, val: Mapping[str, Any]) -> None:
        """Records the only val scores of a model that is not fitted, as epoch 0."""
        self.best.choice = Choice(0, 0, val[self.best.metric])
        self.history.record_scores(val)


def between_steps(trainer: pl.Trainer) -> bool:
    """Whether this batch ended an optimiser step that is not the epoch's last: after that one,
    validation comes first."""
    ready = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return ready != trainer.num_training_batches and ready % trainer.accumulate_grad_batches == 0


def _of_val(metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"val/{name}": value for name, value in metrics.items()}

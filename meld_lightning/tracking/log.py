"""What is logged of a run: loss and learning rate every few steps, metrics every epoch, the chosen
epoch's scores at the end.

Every logger gets the same names: train/loss, lr, the columns of metrics.csv, best/val/<metric>.
Nothing of test is logged: runs are chosen by what loggers show. Used by training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from meld_lightning.tracking.loggers import Loggers
from meld_lightning.tracking.wandb_logger import STEP

if TYPE_CHECKING:
    import pandas as pd
    from pytorch_lightning.callbacks import Callback

EVERY_STEPS = 10  # reading the loss makes a GPU wait
SAMPLE = 50  # predictions that W&B shows


def step_log(loggers: Loggers) -> Callback:
    """Logs train/loss (of rank 0's share) and the learning rate of the step, every EVERY_STEPS
    steps."""
    from pytorch_lightning.callbacks import LambdaCallback

    now: dict[str, Any] = {"lr": 0.0, "train/loss": 0.0}

    def note_lr(trainer: Any, module: Any, optimizer: Any) -> None:
        now["lr"] = optimizer.param_groups[0]["lr"]

    def log(trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not loggers:
            return
        microbatches = trainer.accumulate_grad_batches
        index = batch_idx % microbatches
        now["train/loss"] = outputs["loss"].detach() + (now["train/loss"] if index else 0)
        if index + 1 == microbatches and trainer.global_step % EVERY_STEPS == 0:
            values = {name: float(value) for name, value in now.items()}
            for logger in loggers:
                logger.log_metrics(values, step=trainer.global_step)

    return LambdaCallback(on_before_optimizer_step=note_lr, on_train_batch_end=log)


def log_row(loggers: Loggers, row: Mapping[str, float]) -> None:
    """Logs one row of metrics.csv at its step."""
    values = {name: value for name, value in row.items() if name != "step"}
    for logger in loggers:
        logger.log_metrics(values, step=int(row["step"]))
        logger.save()


def log_scores(
    loggers: Loggers, step: float, epoch: int, val: Mapping[str, Any], predicted: pd.DataFrame
) -> None:
    """Logs the val scores of the chosen epoch, as best/val/<metric> and best/val/f1/<label>; W&B
    also gets the confusion matrix of val and some predictions.

    val: metrics of val, as in result.json. predicted: the predictions of val.
    """
    figures = {"best/epoch": float(epoch)}
    figures |= {
        f"best/val/{name}": value for name, value in val.items() if isinstance(value, float)
    }
    figures |= {f"best/val/f1/{label}": value for label, value in val["f1"].items()}
    for logger in loggers:
        logger.log_metrics(figures, step=int(step))
        logger.save()
        if hasattr(logger.experiment, "summary"):
            _log_to_wandb(logger.experiment, int(step), figures, list(val["f1"]), predicted)


def _log_to_wandb(
    run: Any, step: int, figures: Mapping[str, float], labels: list[str], val: pd.DataFrame
) -> None:
    import wandb

    true, predicted = (
        [labels.index(label) for label in val[column]]
        for column in ("true_label", "predicted_label")
    )
    sample = val.sample(min(SAMPLE, len(val)), random_state=0)
    shown = sample[["key", "text", "true_label", "predicted_label", "confidence"]]
    run.log(
        {
            STEP: step,
            "best/val/confusion": wandb.plot.confusion_matrix(
                y_true=true,
                preds=predicted,
                class_names=labels,
                title="val, at the chosen epoch",
            ),
            "best/val/predictions": wandb.Table(columns=list(shown), data=shown.values.tolist()),
        }
    )
    run.summary.update(dict(figures))

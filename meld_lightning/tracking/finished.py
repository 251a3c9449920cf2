"""Logs a finished run that a logger has not seen, from the run's files.

Reads metrics.csv, result.json and predictions.parquet of the run folder; writes what the logger
writes. Used by `train` and by sweeps for runs that they read instead of training them.
"""

import logging

import pandas as pd
from omegaconf import DictConfig

from meld_lightning.runs.identity import Identity
from meld_lightning.runs.run import Run
from meld_lightning.tracking.log import log_row, log_scores
from meld_lightning.tracking.loggers import is_logged, open_loggers

logger = logging.getLogger(__name__)

# _target_ of a logger -> the folder that it leaves in a run it has logged
FOLDERS = {
    "meld_lightning.tracking.loggers.csv_loggers": "csv",
    "meld_lightning.tracking.loggers.tensorboard_loggers": "tensorboard",
    "meld_lightning.tracking.wandb_logger.wandb_loggers": "wandb",
}


def log_finished(cfg: DictConfig, identity: Identity, run: Run) -> None:
    """Logs the epochs and the val scores of `run` with the logger that `cfg` names, unless it has
    logged the run already. Loss and learning rate by step are in no file, and are left out."""
    if not is_logged(cfg):
        return
    left = FOLDERS.get(cfg.logger._target_)
    if left is None:
        logger.info("%s: finished, so that logger=%s logs nothing", run.folder, cfg.logger._target_)
        return
    if (run.folder / left).exists():
        return
    rows = pd.read_csv(run.folder / "metrics.csv").to_dict("records")
    predicted = pd.read_parquet(run.folder / "predictions.parquet").query("split == 'val'")
    with open_loggers(cfg, identity) as loggers:
        if not loggers:
            return
        for row in rows:
            # an empty cell: the loss of a model that is not fitted
            log_row(loggers, {str(name): value for name, value in row.items() if pd.notna(value)})
        epoch, val = run.result.best["epoch"], run.result.metrics["val"]
        log_scores(loggers, rows[-1]["step"], epoch, val, predicted)
    logger.info("%s: logged from its files, epoch by epoch", run.folder)

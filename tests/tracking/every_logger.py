"""A logger= choice that writes with every logger at once, for a test that runs one training."""

from omegaconf import DictConfig

from meld_lightning.runs.identity import Identity
from meld_lightning.tracking.loggers import Loggers, csv_loggers, tensorboard_loggers
from meld_lightning.tracking.wandb_logger import wandb_loggers


def every_logger(*, cfg: DictConfig, identity: Identity) -> Loggers:
    return [
        logger
        for loggers in (csv_loggers, tensorboard_loggers, wandb_loggers)
        for logger in loggers(cfg=cfg, identity=identity)
    ]

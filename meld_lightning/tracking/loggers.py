"""Lightning loggers that write into the run folder, for users who watch runs.

conf/logger/ names the functions that make them; conf/logger/none.yaml names none. Writes RUN/csv,
RUN/tensorboard or, through `tracking.wandb_logger`, RUN/wandb. Used by training, and by the
launchers and the report to group the runs of a sweep. Imports no Lightning at the top, so that
reports do without it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig

from meld_lightning.errors import Stopped, UserError
from meld_lightning.runs.identity import Identity
from meld_lightning.storage.fingerprint import digest_of

# list[Logger], without importing Lightning: the config check evaluates these annotations
Loggers = list[Any]

# overrides that do not distinguish two sweeps
NOT_OF_A_SWEEP = ("logger", "machine.", "paths.", "hydra", "corpus.root")


def csv_loggers(*, cfg: DictConfig, identity: Identity) -> Loggers:
    """A CSV file in the run folder."""
    from pytorch_lightning.loggers import CSVLogger

    return [CSVLogger(identity.folder, name="csv", flush_logs_every_n_steps=1)]


def tensorboard_loggers(*, cfg: DictConfig, identity: Identity) -> Loggers:
    """TensorBoard event files in the run folder; a resumed run adds one to those that are there."""
    need("tensorboard", "tensorboard")
    from pytorch_lightning.loggers import TensorBoardLogger

    return [
        TensorBoardLogger(
            identity.folder, name="tensorboard", version="", default_hp_metric=False, flush_secs=1
        )
    ]


def is_logged(cfg: DictConfig) -> bool:
    """Whether cfg.logger names loggers; conf/logger/none.yaml is empty."""
    return "_target_" in cfg.get("logger", {})


@contextlib.contextmanager
def open_loggers(cfg: DictConfig, identity: Identity) -> Iterator[Loggers]:
    """The loggers that cfg.logger names, on rank 0; closed however the block ends, so that nothing
    logged is lost."""
    from hydra.utils import instantiate

    rank_zero = int(os.environ.get("RANK", 0)) == 0 or cfg.numerics.world_size == 1
    loggers: Loggers = []
    if rank_zero and is_logged(cfg):
        loggers = instantiate(cfg.logger, _partial_=True)(cfg=cfg, identity=identity)
    try:
        yield loggers
    except BaseException as error:
        _close(loggers, error)
        raise
    _close(loggers, None)


def grouped(config: DictConfig, group: str) -> DictConfig:
    """Sets the group of the config's logger, if it has groups and none was given."""
    if "group" in config.get("logger", {}) and config.logger.group is None:
        config.logger.group = group
    return config


def sweep_group(overrides: Sequence[str]) -> str:
    """A name for the runs of a sweep, such as batch_size-lr-1a2b3c: the same command gives the same
    name."""
    kept = sorted(
        override for override in overrides if not override.lstrip("+~").startswith(NOT_OF_A_SWEEP)
    )
    pairs = [override.partition("=") for override in kept]
    swept = [key.lstrip("+~").split(".")[-1] for key, _, value in pairs if "," in value]
    named = [value for key, _, value in pairs if key == "experiment"]
    return "-".join([*named, *swept, digest_of(kept)[:6]])


def need(package: str, extra: str) -> None:
    """UserError if the package, which the extra installs, cannot be imported."""
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"logger={extra}: the package {package} cannot be imported; run: pip install"
            f" 'meld-lightning[{extra}]'"
        ) from error


def _close(loggers: Loggers, error: BaseException | None) -> None:
    for logger in loggers:
        logger.save()
        run = logger.experiment
        if hasattr(run, "mark_preempting"):
            if isinstance(error, Stopped):
                run.mark_preempting()
            run.finish(exit_code=0 if error is None else 1)

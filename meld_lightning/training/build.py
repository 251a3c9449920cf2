"""Builds what a training consists of: labelled table, datamodule, module and Trainer.

Reads the inputs that the run was given; writes nothing. Used by fit.py, by benchmarks and, for the
module alone, by inference.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple, get_type_hints

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from meld_lightning.data.datamodule import CorpusDataModule
from meld_lightning.data.sources import Sources
from meld_lightning.errors import UserError, first_line
from meld_lightning.models.classifier import Classifier
from meld_lightning.runs.inputs import Inputs, labelled
from meld_lightning.tracking.log import step_log
from meld_lightning.training.callbacks import RunCallbacks
from meld_lightning.training.checkpoint_file import CheckpointFile
from meld_lightning.training.process import use_full_fp32
from meld_lightning.training.progress import EpochBar, EpochQuarters


class Built(NamedTuple):
    """The parts of one training on this rank.

    table: the corpus with columns `label` (index into labels) and `present` (has the modality).
    """

    table: pd.DataFrame
    labels: tuple[str, ...]
    datamodule: CorpusDataModule
    module: Classifier


def build(cfg: DictConfig, found: Inputs, microbatches: int = 1) -> Built:
    """The parts that `cfg` describes, over what was read for it.

    microbatches: how many parts every batch is split into.
    """
    use_full_fp32()  # before the datamodule, which may compute a frozen encoder's features
    sources = sources_of(cfg, found)
    table, labels = sources.table, sources.labels
    # made in two steps: what code fills in is no config, and Hydra would take a dataclass for one
    datamodule = instantiate(cfg.data, _partial_=True)(
        sources=sources,
        seed=cfg.seed,
        eval_batch_size=cfg.eval_batch_size,
        workers=cfg.machine.workers,
        rank=int(os.environ["RANK"]) if cfg.numerics.world_size > 1 else 0,
        world_size=cfg.numerics.world_size,
        microbatches=microbatches,
    )
    table["present"] = datamodule.present_N
    train_labels = table["label"][table["split"] == "train"].to_numpy()
    module = make_module(
        cfg,
        labels,
        np.bincount(train_labels, minlength=len(labels)),
        found.checkpoint.folder if found.checkpoint else None,
        total_steps=cfg.epochs * datamodule.steps_per_epoch,
    )
    if datamodule.train_targets_NC is not None:
        module.use_soft_labels(datamodule.train_targets_NC)
    _check_pair(cfg, datamodule, module)
    return Built(table, labels, datamodule, module)


def sources_of(cfg: DictConfig, found: Inputs) -> Sources:
    """What the datamodule that `cfg` describes reads."""
    table, labels = labelled(found.corpus, cfg.target)
    return Sources(
        table=table,
        labels=labels,
        corpus_digest=found.corpus.digest,
        media=found.media,
        checkpoint=found.checkpoint.folder if found.checkpoint else None,
        checkpoint_digest=found.checkpoint.digest if found.checkpoint else "",
        cache=Path(cfg.paths.cache),
        device=_device(cfg.machine.accelerator),
        precision=cfg.numerics.precision,
        threads=cfg.numerics.threads,
    )


def make_module(
    cfg: DictConfig,
    labels: tuple[str, ...],
    train_counts: np.ndarray,
    checkpoint: Path | None,
    total_steps: int,
) -> Classifier:
    """The module that `cfg` describes, with the weights that training starts from.

    train_counts: utterances of train per class (C,).
    checkpoint: the folder of its pretrained weights; None if it has none.
    total_steps: optimiser steps of the complete fit.
    """
    folder = {"checkpoint": str(checkpoint)} if checkpoint else {}
    return instantiate(cfg.model, _partial_=True, _convert_="all")(
        **folder,
        labels=labels,
        train_counts=train_counts,
        optimizer=instantiate(cfg.optimizer),
        scheduler=(cfg.scheduler.name, cfg.scheduler.warmup),
        total_steps=total_steps,
        gradient_clip=cfg.gradient_clip,
        seed=cfg.seed,
    )


def _check_pair(cfg: DictConfig, datamodule: CorpusDataModule, module: Classifier) -> None:
    """The model has to read what the datamodule makes: both say it in their annotations."""
    reads = get_type_hints(type(module).forward).get("batch")
    makes = get_type_hints(type(datamodule).batch).get("return")
    if isinstance(reads, type) and reads is not makes:
        raise UserError(
            f"model={cfg.model.name} reads {reads.__name__}, but"
            f" data={cfg.data._target_.rsplit('.', 2)[-2]} makes"
            f" {getattr(makes, '__name__', makes)}: leave data= out, every model brings its own"
        )


def _device(accelerator: str) -> torch.device:
    """Where this rank computes; as Lightning will choose it."""
    rank = int(os.environ.get("LOCAL_RANK", 0))
    if accelerator in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", rank)
    return torch.device(
        "mps" if accelerator != "cpu" and torch.backends.mps.is_available() else "cpu"
    )


def make_trainer(cfg: DictConfig, callbacks: RunCallbacks, microbatches: int = 1) -> pl.Trainer:
    """The Trainer of a run; `callbacks` alone save. It steps once for every `microbatches` that the
    datamodule hands it."""
    # deterministic algorithms would have torch fill every fresh tensor with NaN, 4 % of a step:
    # nothing here reads one
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        return _trainer(cfg, callbacks, microbatches)
    except MisconfigurationException as error:
        raise UserError(
            f"machine.accelerator={cfg.machine.accelerator}: {first_line(error)}"
        ) from error


def _trainer(cfg: DictConfig, callbacks: RunCallbacks, microbatches: int) -> pl.Trainer:
    here = (
        int(os.environ["LOCAL_WORLD_SIZE"]) if cfg.numerics.world_size > 1 else 1
    )  # ranks on this machine
    return pl.Trainer(
        accelerator=cfg.machine.accelerator,
        devices=here,
        num_nodes=cfg.numerics.world_size // here,
        strategy=_ddp() if cfg.numerics.world_size > 1 else "auto",
        # set explicitly: Lightning would take any process in a Slurm job for a rank of its own
        plugins=[
            TorchElasticEnvironment() if cfg.numerics.world_size > 1 else LightningEnvironment(),
            CheckpointFile(),
        ],
        precision=cfg.numerics.precision,
        deterministic=cfg.numerics.deterministic,
        max_epochs=cfg.epochs,
        accumulate_grad_batches=microbatches,
        callbacks=[
            step_log(callbacks.history.loggers),
            *callbacks,
            EpochBar() if sys.stderr.isatty() else EpochQuarters(),
        ],
        logger=callbacks.history.loggers,
        # nothing is logged through the Trainer; this keeps it from advising on short epochs
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
        # the datamodule shares batches out itself, none counted twice
        use_distributed_sampler=False,
    )


def _ddp() -> DDPStrategy:
    """Without it torch would regroup the gradients after a process's first step, and three ranks
    or more then add them up in another order than a process that was stopped and started again."""
    return DDPStrategy(find_unused_parameters=True)

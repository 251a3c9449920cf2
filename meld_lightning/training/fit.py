"""One run from config to result: fit, choose the epoch on val, score every split once with it,
write the run folder.

Reads what `prepare` left in the cache; writes runs/<modality>-<model>/<hash>/. Used by `train`, by
the launchers and, through them, by `reproduce`.
"""

import functools
import logging
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from meld_lightning.config import check as config
from meld_lightning.corpus import SPLITS
from meld_lightning.data.datamodule import CorpusDataModule
from meld_lightning.data.sources import Sources
from meld_lightning.errors import OutOfMemory, UserError, is_out_of_memory
from meld_lightning.models.classifier import Classifier
from meld_lightning.runs.logits import write_logits
from meld_lightning.runs.result import (
    check_monitor,
    labelled,
    predictions,
    provenance,
    split_metrics,
    write_predictions,
)
from meld_lightning.runs.run import Identity, Run, claimed, find_run, identify, inputs, load_run
from meld_lightning.storage.atomic import atomic_write, write_json
from meld_lightning.tracking.loggers import log_scores, step_log, watched
from meld_lightning.training.callbacks import BestEpoch, CheckpointFile, RunCallbacks, save_tensors
from meld_lightning.training.memory import (
    Schedule,
    describe,
    double_microbatches,
    plain_schedule,
    read_schedule,
    retry_out_of_memory,
)
from meld_lightning.training.process import advise_on_precision, keep_freed_memory, quieten
from meld_lightning.training.ranks import READ, RUN, RankZeroChannel, run_ranks, started_outside
from meld_lightning.training.signals import StopRequest, stop_request

logger = logging.getLogger(__name__)


def train(cfg: DictConfig) -> Run | None:
    """The run that `cfg` describes: read if it is finished, resumed if it was stopped, else run
    from the start.

    None on a rank that a cluster has started and that is not the first: the first one writes the
    result.
    """
    config.check(cfg, config.Train)
    check_monitor(cfg.monitor)
    identity = identify(cfg)
    if not started_outside(cfg.numerics.world_size):
        return _claim_and_run(cfg, identity, lambda message: None)
    channel = RankZeroChannel(cfg.numerics.world_size)
    if channel.is_rank_zero:
        with channel.sending() as send:
            return _claim_and_run(cfg, identity, send)
    with channel.receiving() as message:
        if message == RUN:
            _start(cfg, identity.folder)
    return None


def _claim_and_run(cfg: DictConfig, identity: Identity, send: Callable[[str], None]) -> Run:
    """`send` passes RUN or READ on to the other ranks, if there are any."""
    if run := find_run(identity):
        send(READ)
        return run
    with claimed(identity.folder):
        if run := find_run(identity):
            send(READ)
            return run
        with atomic_write(identity.folder / "config.yaml") as fresh:
            OmegaConf.save(cfg, fresh, resolve=True)
        send(RUN)
        try:
            _start(cfg, identity.folder)
        except UserError:
            if not (
                identity.folder / "checkpoints"
            ).is_dir():  # refused before it began: nothing to go on from
                shutil.rmtree(identity.folder)
            raise
    return load_run(identity.folder)


def _start(cfg: DictConfig, folder: Path) -> None:
    world_size = cfg.numerics.world_size
    start = functools.partial(run_ranks, run_rank, folder, world_size, cfg.machine.accelerator)
    retry_out_of_memory(folder, start, starts_ranks=not started_outside(world_size))


def run_rank(folder: Path) -> None:
    """One process of a run: everything it needs stands in the folder's config.yaml. Raises
    OutOfMemory if another try would use smaller microbatches."""
    quieten()
    keep_freed_memory()
    # as Lightning's Trainer sets it; cuBLAS looks at it once, and a frozen encoder's features are
    # computed before
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cfg = OmegaConf.load(folder / "config.yaml")
    assert isinstance(cfg, DictConfig)
    identity = identify(cfg)
    if identity.folder != folder:
        raise UserError(
            f"{folder}: the corpus or the checkpoint was prepared anew meanwhile; run the command"
            " again"
        )
    schedule = read_schedule(folder)
    try:
        with stop_request().listening() as stop, watched(cfg, identity) as loggers:
            return _fit_and_score(cfg, identity, stop, loggers, schedule)
    except InstantiationException as error:
        raise (error.__cause__ if isinstance(error.__cause__, UserError) else error) from None
    except (
        RuntimeError
    ) as error:  # that of a rank whose peer ran out, and left it waiting, is another one
        if not is_out_of_memory(error) and read_schedule(folder) == schedule:
            raise
    # after the block, with the traceback that holds the tensors gone
    largest = max(cfg.eval_batch_size, -(-cfg.data.batch_size // cfg.numerics.world_size))
    double_microbatches(folder, schedule, largest)
    raise OutOfMemory(describe(folder))


def _fit_and_score(
    cfg: DictConfig,
    identity: Identity,
    stop: StopRequest,
    loggers: list[Logger],
    schedule: Schedule,
) -> None:
    torch.set_num_threads(cfg.numerics.threads)
    pl.seed_everything(cfg.seed, verbose=False)
    table, labels, datamodule, module = build(cfg, schedule[-1].microbatches)
    callbacks = RunCallbacks.of_run(
        identity.folder, cfg.monitor, cfg.machine.checkpoint_every_s, stop, loggers
    )
    trainer = make_trainer(cfg, callbacks, datamodule.microbatches)
    advise_on_precision(cfg.numerics.precision, trainer)
    resume = callbacks.last.path if callbacks.last.path.is_file() else None
    if resume and not zipfile.is_zipfile(resume):
        raise UserError(f"{resume}: damaged; delete it and the run starts over")
    if resume and trainer.is_global_zero:
        logger.info("%s: resuming from its last checkpoint", identity.folder)
    # a model that is not fitted, of a split that has nothing to score, meets it nowhere else
    module.trainer = trainer
    fitted = any(parameter.requires_grad for parameter in module.parameters())
    last: dict[str, torch.Tensor] = {}
    if fitted:
        _check_rows(datamodule)
        trainer.fit(module, datamodule, ckpt_path=resume, weights_only=True)
        best = torch.load(callbacks.best.path, weights_only=True, map_location="cpu")["state_dict"]
        last = {name: value.cpu() for name, value in module.state_dict().items()}
        module.load_state_dict(best)
    by_split, frames = {}, []
    for split in SPLITS:
        scored = (
            trainer.predict(module, datamodule.scoring_dataloader(split))
            if len(datamodule.rows(split))
            else []
        )
        rows, true, logits = module.completed(scored, split, datamodule)  # type: ignore[arg-type]
        if len(rows) != (table["split"] == split).sum():
            raise UserError(
                f"{identity.folder}: {len(rows)} utterances of {split} scored, some are missing;"
                " run it again"
            )
        if trainer.is_global_zero:
            write_logits(
                identity.folder / "logits" / f"{split}.parquet", table.iloc[rows], logits, labels
            )
            by_split[split] = split_metrics(true, logits, labels)
            frames.append(predictions(table.iloc[rows], logits, labels))
    if trainer.is_global_zero:
        write_predictions(identity.folder, pd.concat(frames))
        if fitted:
            _check_chosen(identity.folder, callbacks.best, by_split["val"])
        else:
            callbacks.record_scores(by_split["val"])
        assert callbacks.best.choice is not None
        step, epoch = callbacks.history.rows[-1]["step"], callbacks.best.choice.epoch
        log_scores(loggers, step, epoch, by_split, frames[-1])
        known = provenance(cfg, identity, table, labels, trainer.strategy.root_device)
        known["accumulation"] = plain_schedule(schedule)
        with atomic_write(callbacks.last.path) if fitted else nullcontext() as slim:
            if slim:  # nothing resumes a finished run: its weights are enough
                save_tensors({"state_dict": last}, slim)
            write_json(identity.folder / "result.json", _result(cfg, callbacks, by_split, known))


def _check_rows(datamodule: CorpusDataModule) -> None:
    """A model is fitted on train and its epoch chosen on val: both need utterances that have the
    modality."""
    for split in ("train", "val"):
        if not len(datamodule.rows(split)):
            raise UserError(
                f"no utterance of {split} has this modality, and this model has to be fitted; see"
                " corpus report"
            )


def build(
    cfg: DictConfig, microbatches: int = 1
) -> tuple[pd.DataFrame, tuple[str, ...], CorpusDataModule, Classifier]:
    """Table (with `label` and `present`), label names, datamodule and module of `cfg`, on this
    process's rank."""
    found = inputs(cfg)
    table, labels = labelled(found.corpus, cfg.target)
    sources = Sources(
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
    folder = {"checkpoint": str(found.checkpoint.folder)} if found.checkpoint else {}
    module = instantiate(cfg.model, _partial_=True, _convert_="all")(
        **folder,
        labels=labels,
        train_counts=np.bincount(train_labels, minlength=len(labels)),
        optimizer=instantiate(cfg.optimizer),
        scheduler=(cfg.scheduler.name, cfg.scheduler.warmup),
        total_steps=cfg.epochs * datamodule.steps_per_epoch,
        gradient_clip=cfg.gradient_clip,
        seed=cfg.seed,
    )
    _check_pair(cfg, datamodule, module)
    return table, labels, datamodule, module


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
            f"machine.accelerator={cfg.machine.accelerator}: {str(error).splitlines()[0]}"
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
        # said, not detected: Lightning would take any process in a Slurm job for a rank of its own
        plugins=[
            TorchElasticEnvironment() if cfg.numerics.world_size > 1 else LightningEnvironment(),
            CheckpointFile(),
        ],
        precision=cfg.numerics.precision,
        deterministic=cfg.numerics.deterministic,
        max_epochs=cfg.epochs,
        accumulate_grad_batches=microbatches,
        callbacks=[step_log(callbacks.history.loggers), *callbacks],
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
    """Without it torch would deal gradients out anew after a process's first step, and three ranks
    or more then add them up in another order than a process that was stopped and started again."""
    return DDPStrategy(find_unused_parameters=True)


def _check_chosen(folder: Path, best: BestEpoch, val: dict[str, Any]) -> None:
    """best.ckpt must score what its epoch scored: a run resumed on another device could have left
    another epoch's."""
    assert best.choice is not None
    scored, chosen = val[best.metric], best.choice.value
    if abs(scored - chosen) > 1e-3:
        raise UserError(
            f"{folder}: best.ckpt scores val/{best.metric} {scored:.4f}, but the chosen epoch"
            f" scored {chosen:.4f}: they are two epochs; delete the folder and run it again"
        )


def _result(
    cfg: DictConfig, callbacks: RunCallbacks, by_split: dict[str, Any], provenance: dict[str, Any]
) -> dict[str, Any]:
    best, last = callbacks.best.choice, callbacks.history.rows[-1]
    assert best is not None
    if (fit_loss := callbacks.history.fit_loss(best.epoch)) is not None:
        by_split["train"]["fit_loss"] = fit_loss
    return {
        **provenance,
        "model": cfg.model.name,
        "checkpoint": _origin(cfg.model.get("checkpoint")),
        "metrics": by_split,
        "best": {"monitor": cfg.monitor, **asdict(best)},
        "last": {
            "epoch": int(last["epoch"]),
            "val": {k.removeprefix("val/"): v for k, v in last.items() if "val/" in k},
        },
        "wall_s": round(callbacks.last.wall_s, 1),
    }


def _origin(checkpoint: str | None) -> str:
    """A checkpoint's name as a result may tell it: a folder by its last part, never by its path."""
    if checkpoint is None:
        return "no pretrained weights"
    folder = Path(checkpoint).expanduser()
    return folder.name if folder.exists() else checkpoint

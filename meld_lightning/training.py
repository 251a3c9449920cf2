"""One run from config to result: fit, choose the epoch on val, score every split once with it, write the run folder.

Reads what `prepare` left in the cache; writes runs/<modality>-<model>/<hash>/. Used by `train`, by the launchers and,
through them, by `reproduce`.
"""

import ctypes
import logging
import os
import platform
import shutil
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from meld_lightning import config, metrics
from meld_lightning.checkpointing import RunCheckpoints, StopRequest
from meld_lightning.corpus import SPLITS
from meld_lightning.errors import UserError, near_miss
from meld_lightning.logits import write_logits
from meld_lightning.models.classifier import Classifier, gathered, scores
from meld_lightning.ranks import start_ranks
from meld_lightning.runs import Identity, Run, claimed, find_run, git_commit, identify, inputs, load_run, write_json

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def train(cfg: DictConfig) -> Run:
    """The run that `cfg` describes: read if it is finished, resumed if it was stopped, else run from the start."""
    config.check(cfg, config.Train)
    known = [f"val/{name}" for name in ("loss", *metrics.METRICS)]
    if cfg.monitor not in known:  # nothing is ever chosen on train or test
        raise UserError(f"monitor={cfg.monitor}: expected a val/ metric{near_miss(cfg.monitor, known)}")
    identity = identify(cfg)
    if run := find_run(identity):
        return run
    with claimed(identity.folder):
        if run := find_run(identity):
            return run
        OmegaConf.save(cfg, identity.folder / "config.yaml", resolve=True)
        try:
            start_ranks(run_rank, identity.folder, cfg.numerics.world_size, cfg.machine.accelerator)
        except UserError:
            if not (identity.folder / "checkpoints").is_dir():  # refused before it began: nothing to go on from
                shutil.rmtree(identity.folder)
            raise
    return load_run(identity.folder)


def run_rank(folder: Path) -> None:
    """One process of a run: everything it needs stands in the folder's config.yaml."""
    quieten()
    keep_freed_memory()
    cfg = OmegaConf.load(folder / "config.yaml")
    assert isinstance(cfg, DictConfig)
    identity = identify(cfg)
    if identity.folder != folder:
        raise UserError(f"{folder}: the corpus or the checkpoint was prepared anew meanwhile; run the command again")
    try:
        with StopRequest().listening() as stop:
            _fit_and_score(cfg, identity, stop)
    except InstantiationException as error:
        raise (error.__cause__ if isinstance(error.__cause__, UserError) else error) from None


def _fit_and_score(cfg: DictConfig, identity: Identity, stop: StopRequest) -> None:
    torch.set_num_threads(cfg.numerics.threads)
    pl.seed_everything(cfg.seed, verbose=False)
    table, labels, datamodule, module = build(cfg)
    callback = RunCheckpoints(identity.folder, cfg.monitor, cfg.machine.checkpoint_every_s, stop)
    trainer = make_trainer(cfg, callback)
    _advise_on_precision(cfg.numerics.precision, trainer)
    resume = callback.last_ckpt if callback.last_ckpt.is_file() else None
    if resume and not zipfile.is_zipfile(resume):
        raise UserError(f"{resume}: damaged; delete it and the run starts over")
    if resume and trainer.is_global_zero:
        print(f"{identity.folder}: going on from its last checkpoint", flush=True)
    trainer.fit(module, datamodule, ckpt_path=resume, weights_only=True)
    best = torch.load(callback.best_ckpt, weights_only=True, map_location="cpu")["state_dict"]
    last = {name: value.cpu() for name, value in module.state_dict().items()}
    module.load_state_dict(best)
    by_split, predictions = {}, []
    for split in SPLITS:
        scored = trainer.predict(module, datamodule.scoring_dataloader(split))
        rows, true, logits = gathered(scored, trainer.world_size)  # type: ignore[arg-type]
        if len(rows) != (table["split"] == split).sum():
            raise UserError(
                f"{identity.folder}: {len(rows)} utterances of {split} scored, some are missing; run it again"
            )
        if trainer.is_global_zero:
            write_logits(identity.folder / "logits" / f"{split}.parquet", table.iloc[rows], logits, labels)
            by_split[split] = _metrics(true, logits, labels)
            predictions.append(_predictions(table.iloc[rows], logits, labels))
    if trainer.is_global_zero:
        _write_predictions(identity.folder, pd.concat(predictions))
        _check_chosen(identity.folder, callback, by_split["val"])
        write_json(identity.folder / "result.json", _result(cfg, identity, callback, by_split, labels, table, trainer))
        slim = callback.last_ckpt.with_name("slim.tmp")  # nothing resumes a finished run: its weights are enough
        torch.save({"state_dict": last}, slim)
        slim.replace(callback.last_ckpt)


def build(cfg: DictConfig) -> tuple[pd.DataFrame, tuple[str, ...], Any, Classifier]:
    """Corpus table (with `label` and `unit`), label names, datamodule and module of `cfg`, on this process's rank."""
    corpus, checkpoint = inputs(cfg)
    labels = corpus.labels(cfg.target)
    table = corpus.table.reset_index(drop=True)
    table["label"] = pd.Categorical(table[cfg.target], categories=list(labels)).codes.astype(np.int64)
    for split in SPLITS:
        if not (table["split"] == split).any():
            raise UserError(
                f"corpus {corpus.name}: no utterance in split {split}; all of {', '.join(SPLITS)} are needed"
            )
    if (table["label"] < 0).any():
        row = table[table["label"] < 0].iloc[0]
        raise UserError(f"corpus {corpus.name}: {row['key']} has no {cfg.target}; choose target=emotion or label it")
    datamodule = instantiate(
        cfg.data, table=table, corpus_digest=corpus.digest, checkpoint=checkpoint.folder,
        checkpoint_digest=checkpoint.digest, cache=Path(cfg.paths.cache), seed=cfg.seed,
        eval_batch_size=cfg.eval_batch_size, workers=cfg.machine.workers,
        rank=int(os.environ["RANK"]) if cfg.numerics.world_size > 1 else 0, world_size=cfg.numerics.world_size,
    )  # fmt: skip
    train_labels = table["label"][table["split"] == "train"].to_numpy()
    module = instantiate(
        cfg.model, checkpoint=str(checkpoint.folder), labels=labels,
        train_counts=np.bincount(train_labels, minlength=len(labels)), optimizer=instantiate(cfg.optimizer),
        scheduler=(cfg.scheduler.name, cfg.scheduler.warmup), total_steps=cfg.epochs * datamodule.steps_per_epoch,
        gradient_clip=cfg.gradient_clip, seed=cfg.seed, _convert_="all",
    )  # fmt: skip
    return table, labels, datamodule, module


def make_trainer(cfg: DictConfig, callback: RunCheckpoints) -> pl.Trainer:
    """The Trainer of a run; `callback` alone saves."""
    # deterministic algorithms would have torch fill every fresh tensor with NaN, 4 % of a step: nothing here reads one
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        return _trainer(cfg, callback)
    except MisconfigurationException as error:
        raise UserError(f"machine.accelerator={cfg.machine.accelerator}: {str(error).splitlines()[0]}") from error


def _trainer(cfg: DictConfig, callback: RunCheckpoints) -> pl.Trainer:
    return pl.Trainer(
        accelerator=cfg.machine.accelerator,
        devices=cfg.numerics.world_size,
        strategy="ddp" if cfg.numerics.world_size > 1 else "auto",
        precision=cfg.numerics.precision,
        deterministic=cfg.numerics.deterministic,
        max_epochs=cfg.epochs,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # the datamodule shares batches out itself, none counted twice
    )


def quieten() -> None:
    """Leaves warnings and our own lines: the libraries' greetings and loading bars say nothing about a run."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for library in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")  # it is: see RunCheckpoints


def _advise_on_precision(precision: str, trainer: pl.Trainer) -> None:
    """Precision is part of a run's hash and never chosen by the device; what the device would rather do is said."""
    device = trainer.strategy.root_device.type
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if trainer.is_global_zero and fast != (precision == "bf16-mixed"):
        other, why = ("bf16", "computes bf16 fast") if fast else ("fp32", "has no fast bf16")
        print(f"this device {why}: numerics={other} would train faster (as a run of its own)", flush=True)


def keep_freed_memory() -> None:
    """Tells glibc not to hand freed blocks back: the word embedding's gradient (46 MB for BERT) is otherwise mapped and
    page-faulted anew at every step, a tenth of a MiniLM step on a CPU."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def _check_chosen(folder: Path, callback: RunCheckpoints, val: dict[str, Any]) -> None:
    """best.ckpt must score what its epoch scored: a run resumed on another device could have left another epoch's."""
    scored, chosen = val[callback.metric], callback.best["value"]
    if abs(scored - chosen) > 1e-3:
        raise UserError(
            f"{folder}: best.ckpt scores val/{callback.metric} {scored:.4f}, the chosen epoch {chosen:.4f}: "
            "they are not of one epoch; delete the folder and run it again"
        )


def _metrics(true: np.ndarray, logits: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    per_class = metrics.per_class_f1(metrics.confusion(true, logits.argmax(1), len(labels)))
    f1 = {label: float(value) for label, value in zip(labels, per_class, strict=True)}
    return {**scores(true, logits), "n": len(true), "f1": f1}


def _predictions(table: pd.DataFrame, logits: np.ndarray, labels: tuple[str, ...]) -> pd.DataFrame:
    """The paper's data frame (Section B): who said what, its true and predicted label, and how sure the model is."""
    probabilities = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
    frame = table[["key", "split", "speaker", "text"]].copy()
    frame["true_label"] = [labels[index] for index in table["label"]]
    frame["predicted_label"] = [labels[index] for index in logits.argmax(1)]
    frame["confidence"] = probabilities.max(1)
    return frame


def _write_predictions(folder: Path, frame: pd.DataFrame) -> None:
    frame.to_parquet(folder / "predictions.parquet", index=False)
    frame.to_csv(folder / "predictions.csv", index=False)


def _result(
    cfg: DictConfig, identity: Identity, callback: RunCheckpoints, by_split: dict[str, Any], labels: tuple[str, ...],
    table: pd.DataFrame, trainer: pl.Trainer,
) -> dict[str, Any]:  # fmt: skip
    best = dict(callback.best)
    by_split["train"]["fit_loss"] = best.pop("fit_loss")
    commit, dirty = git_commit()
    last = callback.history[-1]
    return {
        "hash": identity.hash,
        "config_hash": identity.config_hash,
        "result_version": identity.config["result_version"],
        "modality": identity.folder.parent.name.split("-")[0],
        "model": cfg.model.name,
        "checkpoint": _origin(str(cfg.model.checkpoint)),
        "seed": cfg.seed,
        "fold": cfg.corpus.fold if cfg.corpus.split else None,
        "labels": list(labels),
        "train_majority": table.loc[table["split"] == "train", cfg.target].value_counts().index[0],
        "digests": identity.digests,
        "metrics": by_split,
        "best": {"monitor": cfg.monitor, **best},
        "last": {
            "epoch": int(last["epoch"]),
            "val": {k.removeprefix("val/"): v for k, v in last.items() if "val/" in k},
        },
        "commit": commit,
        "dirty": dirty,
        "device": _device(trainer),
        "versions": _versions(),
        "wall_s": round(callback.wall_s, 1),
        "peak_memory_mb": _peak_memory_mb(trainer),
    }


def _origin(checkpoint: str) -> str:
    """A checkpoint's name as a result may tell it: a folder by its last part, never by its path."""
    folder = Path(checkpoint).expanduser()
    return folder.name if folder.exists() else checkpoint


def _device(trainer: pl.Trainer) -> str:
    device = trainer.strategy.root_device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} {platform.machine()}"


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "pytorch-lightning", "transformers", "tokenizers", "numpy")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _peak_memory_mb(trainer: pl.Trainer) -> int:
    """Of the device where that is CUDA, else of this process (resident set)."""
    if trainer.strategy.root_device.type == "cuda":
        return int(torch.cuda.max_memory_allocated() / 2**20)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform != "darwin" else 2**20)

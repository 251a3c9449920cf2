"""One rank of a training: fit, choose the epoch on val, score every split once with it, write the
run folder.

Reads the inputs that train.py hands it; writes runs/<modality>-<model>/<hash>/.
"""

import logging
import os
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from meld_lightning.corpus import SPLITS
from meld_lightning.data.datamodule import CorpusDataModule
from meld_lightning.errors import OutOfMemory, UserError, is_out_of_memory
from meld_lightning.runs.identity import Identity
from meld_lightning.runs.inputs import Inputs, majority
from meld_lightning.runs.logits import write_logits
from meld_lightning.runs.predictions import predictions, write_predictions
from meld_lightning.runs.result import Result, provenance, split_metrics, write_result
from meld_lightning.tracking.log import log_scores
from meld_lightning.tracking.loggers import open_loggers
from meld_lightning.training.build import Built, build, make_trainer
from meld_lightning.training.callbacks import BestEpoch, RunCallbacks
from meld_lightning.training.memory import (
    Schedule,
    describe,
    double_microbatches,
    largest_batch,
    plain_schedule,
    read_schedule,
)
from meld_lightning.training.process import advise_on_precision, keep_freed_memory, quieten
from meld_lightning.training.progress import EpochBar
from meld_lightning.training.scored import ScoredSplit, mark_not_finite
from meld_lightning.training.signals import StopRequest, stop_request
from meld_lightning.training.warm_start import start_from

logger = logging.getLogger(__name__)


def fit_rank(cfg: DictConfig, identity: Identity, modality: str, inputs: Inputs) -> None:
    """This process's share of a run. Where memory runs out, doubles the microbatches and raises
    OutOfMemory, so that the caller can try again."""
    quieten()
    keep_freed_memory()
    # as Lightning's Trainer sets it; cuBLAS looks at it once, and a frozen encoder's features are
    # computed before
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    folder = identity.folder
    schedule = read_schedule(folder)
    try:
        stop_request().raise_if_asked()
        with stop_request().listening() as stop, open_loggers(cfg, identity) as loggers:
            return Fit(cfg, identity, modality, inputs, stop, loggers, schedule).run()
    except InstantiationException as error:
        raise (error.__cause__ if isinstance(error.__cause__, UserError) else error) from None
    except RuntimeError as error:
        # a rank whose peer ran out of memory, and left it waiting, fails with another error
        if not is_out_of_memory(error) and read_schedule(folder) == schedule:
            raise
    # after the block, with the traceback that holds the tensors gone
    double_microbatches(folder, schedule, largest_batch(cfg))
    raise OutOfMemory(describe(folder))


@dataclass
class Fit:
    """One rank's fit and scoring of a run.

    Attributes:
        modality: what the run's datamodule says it is.
        schedule: of gradient accumulation so far.
    """

    cfg: DictConfig
    identity: Identity
    modality: str
    inputs: Inputs
    stop: StopRequest
    loggers: list[Logger]
    schedule: Schedule

    def run(self) -> None:
        """Fits, chooses the epoch on val, scores every split once with it; rank 0 writes the
        result last."""
        torch.set_num_threads(self.cfg.numerics.threads)
        pl.seed_everything(self.cfg.seed, verbose=False)
        built = build(self.cfg, self.inputs, self.schedule[-1].microbatches)
        callbacks = RunCallbacks.of_run(
            self.identity.folder,
            self.cfg.monitor,
            self.cfg.machine.checkpoint_every_s,
            self.stop,
            self.loggers,
        )
        trainer = make_trainer(self.cfg, callbacks, built.datamodule.microbatches)
        advise_on_precision(self.cfg.numerics.precision, trainer)
        # an unfitted model whose splits are all empty never meets the Trainer, and still needs it
        built.module.trainer = trainer
        fitted = any(parameter.requires_grad for parameter in built.module.parameters())
        if fitted:
            self._fit(built, trainer, callbacks)
        if (best := callbacks.best.choice) and trainer.is_global_zero:
            logger.info("scoring all splits with the weights of epoch %d", best.epoch)
        scored = {split: self._score(built, trainer, split) for split in SPLITS}
        if trainer.is_global_zero:
            self._finish(built, scored, callbacks, trainer.strategy.root_device, fitted)

    def _fit(self, built: Built, trainer: pl.Trainer, callbacks: RunCallbacks) -> None:
        """Fits, or resumes, and loads the best epoch's weights into the module."""
        _check_rows(built.datamodule)
        resume = callbacks.last.path if callbacks.last.path.is_file() else None
        if resume and not zipfile.is_zipfile(resume):
            raise UserError(f"{resume}: damaged; delete it and the run starts over")
        if not resume and self.inputs.warm_start is not None:
            start_from(self.inputs.warm_start, built.module, built.labels, self.inputs.corpus)
        trainer.fit(built.module, built.datamodule, ckpt_path=resume, weights_only=True)
        best = torch.load(callbacks.best.path, weights_only=True, map_location="cpu")
        built.module.load_state_dict(best["state_dict"])

    def _score(self, built: Built, trainer: pl.Trainer, split: str) -> ScoredSplit:
        """Every utterance of `split`, in the order of the table."""
        scored: Any = []
        if isinstance(bar := trainer.progress_bar_callback, EpochBar):
            bar.split = split
        if len(built.datamodule.rows(split)):
            scored = trainer.predict(built.module, built.datamodule.scoring_dataloader(split))
        found = ScoredSplit(*built.module.completed(scored, split, built.datamodule))
        if len(found.rows) != (built.table["split"] == split).sum():
            raise UserError(
                f"{self.identity.folder}: {len(found.rows)} utterances of {split} scored, some are"
                " missing; run it again"
            )
        return found

    def _finish(
        self,
        built: Built,
        scored: dict[str, ScoredSplit],
        callbacks: RunCallbacks,
        device: torch.device,
        fitted: bool,
    ) -> None:
        folder, labels = self.identity.folder, built.labels
        mark_not_finite(scored, built.table, folder)
        figures, frames = {}, {}
        for split, one in scored.items():
            rows = built.table.iloc[one.rows]
            write_logits(folder / "logits" / f"{split}.parquet", rows, one.logits, labels)
            figures[split] = split_metrics(one.labels, one.logits, labels)
            frames[split] = predictions(rows, one.logits, labels)
        write_predictions(folder, pd.concat(frames.values()))
        if fitted:
            _check_chosen(folder, callbacks.best, figures["val"])
        else:
            callbacks.record_scores(figures["val"])
        assert callbacks.best.choice is not None
        step, epoch = callbacks.history.rows[-1]["step"], callbacks.best.choice.epoch
        log_scores(self.loggers, step, epoch, figures["val"], frames["val"])
        write_result(folder, self._result(built, figures, callbacks, device))
        # Nothing resumes a finished run. Only now, since a run that is killed before its result is
        # written resumes from this checkpoint.
        if not self.cfg.get("keep_last", False):
            callbacks.last.path.unlink(missing_ok=True)

    def _result(
        self,
        built: Built,
        figures: dict[str, Any],
        callbacks: RunCallbacks,
        device: torch.device,
    ) -> Result:
        best, last = callbacks.best.choice, callbacks.history.rows[-1]
        assert best is not None
        if (fit_loss := callbacks.history.fit_loss(best.epoch)) is not None:
            figures["train"]["fit_loss"] = fit_loss
        val = {name.removeprefix("val/"): value for name, value in last.items() if "val/" in name}
        return Result(
            **provenance(self.identity, device),
            modality=self.modality,
            model=self.cfg.model.name,
            checkpoint=_origin(self.cfg.model.get("checkpoint")),
            seed=self.cfg.seed,
            fold=self.cfg.corpus.fold if self.cfg.corpus.split else None,
            labels=built.labels,
            train_majority=majority(built.table, built.labels),
            metrics=figures,
            best={"monitor": self.cfg.monitor, **asdict(best)},
            last={"epoch": int(last["epoch"]), "val": val},
            wall_s=round(callbacks.last.wall_s, 1),
            accumulation=plain_schedule(self.schedule),
        )


def _check_rows(datamodule: CorpusDataModule) -> None:
    """A model is fitted on train and its epoch chosen on val: both need utterances that have the
    modality."""
    for split in ("train", "val"):
        if not len(datamodule.rows(split)):
            raise UserError(
                f"no utterance of {split} has {datamodule.modality}, which fitting needs; the"
                " corpus report gives the reasons"
            )


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


def _origin(checkpoint: str | None) -> str:
    """A checkpoint's name as results record it: of a folder the last part, never the path."""
    if checkpoint is None:
        return "no pretrained weights"
    folder = Path(checkpoint).expanduser()
    return folder.name if folder.exists() else checkpoint

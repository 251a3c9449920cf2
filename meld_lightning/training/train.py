"""Training as a run: what `train` asks for, from config to finished run folder.

Reads what `prepare` left in the cache; writes runs/<modality>-<model>/<hash>/ through fit.py. Used
by `train`, by the launchers and, through them, by `reproduce`. Imports neither torch nor Lightning
until something has to be run.
"""

import functools
import logging
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from meld_lightning.errors import UserError
from meld_lightning.metrics import check_monitor
from meld_lightning.runs.identity import Identity, class_value, identify, is_import
from meld_lightning.runs.inputs import Inputs, read_inputs, warn_of_toy
from meld_lightning.runs.lifecycle import RunRequest, obtain
from meld_lightning.runs.provenance import device_here
from meld_lightning.runs.run import Run, last_checkpoint
from meld_lightning.training.imported import Importing

logger = logging.getLogger(__name__)


class Training(RunRequest):
    """One training: its config (conf/train.yaml, composed) and, read once, what it reads."""

    @cached_property
    def inputs(self) -> Inputs:
        """The prepared corpus, clips and checkpoint; UserError where they are not prepared."""
        return read_inputs(self.cfg)

    @cached_property
    def modality(self) -> str:
        """What the datamodule says it is: text, audio, video or another word."""
        return str(class_value(self.cfg.data, "modality"))

    @cached_property
    def identity(self) -> Identity:
        return identify(self.cfg, self.modality, self.cfg.model.name, self.inputs.digests)

    @property
    def device(self) -> str:
        return device_here(self.cfg.machine.accelerator)

    def check(self) -> None:
        from meld_lightning.config.check import check
        from meld_lightning.config.nodes import Train

        cfg = self.cfg
        # read_inputs refuses a missing checkpoint in better words, after all other keys are checked
        if cfg.model.get("checkpoint", "") is None:
            cfg = cfg.copy()
            cfg.model.checkpoint = "unnamed"
        check(cfg, Train)
        check_monitor(self.cfg.monitor)
        _check_adjusted(cfg)

    def execute(self) -> None:
        if int(os.environ.get("RANK", 0)) == 0:
            # before the imports and the data, which take a while
            folder = self.identity.folder
            resumes = last_checkpoint(folder).is_file()
            begins = "resuming from its last checkpoint" if resumes else "training starts"
            logger.info("%s: %s, %d epochs", folder, begins, self.cfg.epochs)
            if self.inputs.checkpoint is not None:
                warn_of_toy(self.inputs.checkpoint.name, self.cfg.corpus)
        from meld_lightning.training.memory import retry_out_of_memory
        from meld_lightning.training.ranks import run_ranks, started_outside

        folder, world_size = self.identity.folder, self.cfg.numerics.world_size
        alone = world_size == 1 or started_outside(world_size)
        run = (lambda _: _run_here(self)) if alone else run_rank
        start = functools.partial(run_ranks, run, folder, world_size, self.cfg.machine.accelerator)
        retry_out_of_memory(folder, start, starts_ranks=not started_outside(world_size))


def _check_adjusted(cfg: DictConfig) -> None:
    """UserError for model.loss=logit_adjusted beside what has corrected the class shares before it
    adds those of train, or beside a monitor that reads its logits as shares."""
    if cfg.model.get("loss") != "logit_adjusted":
        return
    if cfg.data.get("sampling") == "oversampled":
        second = "data.sampling=oversampled"
    elif (weights := cfg.model.get("class_weights", "none")) != "none":
        second = f"model.class_weights={weights}"
    else:
        second = None
    if second is not None:
        raise UserError(
            f"model.loss=logit_adjusted and {second} correct the same imbalance of the classes,"
            " and rare ones would count too much: give one of them"
        )
    if cfg.monitor == "val/loss":
        raise UserError(
            "monitor=val/loss: with model.loss=logit_adjusted the logits leave out how common a"
            " class is, which val's loss counts as an error; use monitor=val/weighted_f1"
        )


def training_request(cfg: DictConfig) -> RunRequest:
    """The run that `train` is asked for: a training, or with model=imported an import.

    Raises UserError for a file of predictions beside a model that is trained.
    """
    if is_import(cfg.model):
        return Importing(cfg)
    if cfg.get("predictions") is not None:
        raise UserError(
            f"predictions={cfg.predictions}: model={cfg.model.name} is trained and reads none; add"
            " model=imported, or leave predictions out"
        )
    return Training(cfg)


def train(cfg: DictConfig) -> Run | None:
    """The run that `cfg` describes: read if it is finished, resumed if it was stopped, else run
    from the start.

    None on a rank other than 0 that a cluster has started: rank 0 writes the result.
    """
    request = training_request(cfg)
    if not isinstance(request, Training):
        return _obtain(request) if int(os.environ.get("RANK", 0)) == 0 else None
    if "RANK" not in os.environ:  # no cluster has started several processes for this run
        return _obtain(request)
    from meld_lightning.training.ranks import READ, RUN, RankZeroChannel, started_outside

    if not started_outside(cfg.numerics.world_size):
        return _obtain(request)
    channel = RankZeroChannel(cfg.numerics.world_size)
    if channel.is_rank_zero:
        with channel.sending() as send:
            return _obtain(request, lambda runs: send(RUN if runs else READ))
    with channel.receiving() as message:
        if message == RUN:
            request.execute()
    return None


def _obtain(request: RunRequest, announce: Callable[[bool], None] = lambda runs: None) -> Run:
    """The run; one that was not trained here is logged from its files, if a logger is named that
    has not seen it."""
    from meld_lightning.tracking.finished import log_finished

    runs: list[bool] = []

    def note(executes: bool) -> None:
        runs.append(executes)
        announce(executes)

    run = obtain(request, note)
    if runs == [False] or not isinstance(request, Training):
        log_finished(request.cfg, request.identity, run)
    return run


def run_rank(folder: Path) -> None:
    """One rank of several, in a process of its own: everything it needs is in `folder`."""
    cfg = OmegaConf.load(folder / "config.yaml")
    assert isinstance(cfg, DictConfig)
    request = Training(cfg)
    if request.identity.folder != folder:
        raise UserError(
            f"{folder}: the corpus or the checkpoint was prepared again meanwhile; run the same"
            " command again"
        )
    _run_here(request)


def _run_here(request: Training) -> None:
    from meld_lightning.training.fit import fit_rank

    fit_rank(request.cfg, request.identity, request.modality, request.inputs)

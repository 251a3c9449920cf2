"""The lifecycle of every run: check, identify, find, claim, execute, load.

A command describes what it wants as a RunRequest; `obtain` reads the finished run or makes it.
Training and fusion each have their RunRequest. Used by the commands, the launchers and `reproduce`.
"""

import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property

from omegaconf import DictConfig, OmegaConf

from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.runs.identity import Identity
from meld_lightning.runs.provenance import differences_from_here
from meld_lightning.runs.run import Run, claimed, find_run, last_checkpoint, load_run
from meld_lightning.storage.atomic import atomic_write

logger = logging.getLogger(__name__)


class RunRequest(ABC):
    """A run that is asked for, finished or not.

    Args:
        cfg: the composed config; config.yaml of the run's folder once it runs.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg

    @property
    @abstractmethod
    def device(self) -> str:
        """The name of the device that it would be executed on here."""

    @abstractmethod
    def check(self) -> None:
        """Raises UserError for a config that cannot run; imports what the config names."""

    @cached_property
    @abstractmethod
    def identity(self) -> Identity:
        """Computed once, from the config and from what `prepare` or earlier runs made."""

    @abstractmethod
    def execute(self) -> None:
        """Runs it into its folder, which this process holds; writes result.json last."""

    def find(self) -> Run | None:
        """The finished run, unless the config says rerun=true."""
        return None if self.cfg.get("rerun", False) else find_run(self.identity)

    def find_or_check(self) -> Run | None:
        """The finished run, or None once the config has been checked: a finished run does not cost
        the imports of a check, and a wrong config is refused before missing data is."""
        try:
            run = self.find()
        except NotPrepared:
            self.check()
            raise
        if run is None:
            self.check()
        return run


def obtain(request: RunRequest, announce: Callable[[bool], None] = lambda runs: None) -> Run:
    """The finished run that `request` asks for: read, resumed or run from the start.

    announce: called once, with True if this process executes the run and False if it was read;
        the other ranks wait for it.

    If the run is refused before its first checkpoint, its folder is deleted.
    """
    if run := request.find_or_check():
        announce(False)
        mention_differences([run], request.device)
        _remove_last_checkpoint(run)
        return run
    folder = request.identity.folder
    with claimed(folder):
        if run := request.find():  # finished by another process while this one waited
            announce(False)
            _remove_last_checkpoint(run)
            return run
        if (folder / "result.json").is_file():  # rerun=true, or damaged
            _empty(request)
        with atomic_write(folder / "config.yaml") as fresh:
            OmegaConf.save(request.cfg, fresh, resolve=True)
        announce(True)
        try:
            request.execute()
        except UserError:
            if not (folder / "checkpoints").is_dir():
                shutil.rmtree(folder)
            raise
    return load_run(folder)


def _remove_last_checkpoint(run: Run) -> None:
    """Removes what a run resumes from, which stays if it is killed as soon as it has finished."""
    last = last_checkpoint(run.folder)
    if last.is_file() and not run.config.get("keep_last", False):
        with suppress(OSError):  # a folder that may only be read
            last.unlink(missing_ok=True)


def mention_differences(runs: Sequence[Run], device: str | None = None) -> None:
    """Logs one line if finished runs that are read were made by other code or versions, or on
    another device than `device`."""
    if runs and (phrase := differences_from_here([run.result for run in runs], device)):
        what = str(runs[0].folder) if len(runs) == 1 else f"{len(runs)} finished runs"
        logger.info("%s: made with %s; read as is (rerun=true makes it again)", what, phrase)


def _empty(request: RunRequest) -> None:
    """Deletes a finished run so that it can be made again; result.json goes last, so that a kill
    leaves a finished run or an empty folder, and never half of one to resume from."""
    folder = request.identity.folder
    for path in sorted(folder.iterdir(), key=lambda path: path.name == "result.json"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()

"""Run folders: one per finished training or fusion, named by its identity.

    runs/<modality>-<model>/<hash>/
        config.yaml, checkpoints/, logits/, metrics.csv, predictions.*, result.json (last)
        embeddings/ (only once a fusion has asked for them)

Reads and claims run folders. Used by whoever makes runs and whoever reads them; imports neither
torch nor Lightning.
"""

import functools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from meld_lightning.errors import UserError
from meld_lightning.runs.identity import Identity
from meld_lightning.runs.names import find_folder
from meld_lightning.runs.result import AGAIN, Result, read_result
from meld_lightning.runs.settings import parsed
from meld_lightning.storage.atomic import remove_leftovers
from meld_lightning.storage.once import ReadOnlyFolder, locked, locked_if_free

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A finished run, or the evidence of one.

    config: as config.yaml has it; evidence holds no paths.
    """

    folder: Path
    result: Result
    config: DictConfig

    def logits(self, split: str) -> "pd.DataFrame":
        """One row per utterance of `split`: key, label, unit, present, and `logit.<label>` of each
        label."""
        from meld_lightning.runs.logits import read_logits

        return read_logits(self.folder / "logits" / f"{split}.parquet", self.result.labels)

    def embeddings(self, split: str, keys: Sequence[str]) -> "np.ndarray":
        """The pooled embeddings (N, D) of the utterances `keys` of `split`; UserError if the run
        has none, see runs/embeddings.py."""
        from meld_lightning.runs.embeddings import embeddings_file, read_embeddings

        return read_embeddings(embeddings_file(self.folder, split), keys)


def load_run(folder: str | Path) -> Run:
    """Reads a finished run; UserError if there is none in `folder`, or a damaged one.

    folder: its folder; below the current folder's runs/ also a hash, its beginning, or a name.
    """
    folder = find_folder(str(folder), Path("runs"))
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of a finished run")
    if not (folder / "result.json").is_file():
        raise UserError(f"{folder}: no finished run there: it has no result.json")
    result = read_result(folder)
    return Run(folder, result, _config(folder))


def _config(folder: Path) -> DictConfig:
    """The config in `folder`; UserError where it is damaged, or is no plain mapping."""
    try:
        text = (folder / "config.yaml").read_text(encoding="utf-8")
        found = parsed(text)
        config = OmegaConf.create(found)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException, RecursionError) as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{folder}: damaged config.yaml ({said}); {AGAIN}") from error
    if found is None or not isinstance(config, DictConfig):  # None is a DictConfig too
        said = "empty" if found is None else "a list"
        raise UserError(f"{folder}: damaged config.yaml ({said}, expected keys); {AGAIN}")
    return config


def last_checkpoint(folder: Path) -> Path:
    """What an unfinished run in `folder` resumes from; not there before its first checkpoint."""
    return folder / "checkpoints" / "last.ckpt"


def find_run(identity: Identity) -> Run | None:
    """The finished run; None if there is none, or a damaged one: whoever asks makes it again."""
    if not (identity.folder / "result.json").is_file():
        return None
    return undamaged_run(identity.folder)


def undamaged_run(folder: Path, splits: Sequence[str] | None = None) -> Run | None:
    """The finished run in `folder`; None, with one line that says why, if its files are damaged or
    another version of this package wrote them.

    splits: those whose logits have to be there; None: all that the run scored.
    """
    try:
        run = load_run(folder)
        for split in run.result.metrics if splits is None else splits:
            run.logits(split)
    except UserError as error:
        damage = str(error).rpartition("; ")[0] or str(error)  # without what to do about it
        _warn_once(f"{damage}; the run counts as missing")
        return None
    return run


@functools.cache
def _warn_once(message: str) -> None:
    """A run is looked for more than once on the way to making it."""
    logger.warning(message)


def _lock(folder: Path) -> Path:
    """The lock file of a run folder, in runs/.locks/.

    It stays there: a process that removed it could leave two others with a lock each, on the
    removed file and on a new one (network file systems do not tell them apart in time).
    """
    return folder.parents[1] / ".locks" / f"{folder.parent.name}-{folder.name}.lock"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Holds a run's folder while it is made: a second process that asks for it waits here. The lock
    of a process that dies is released."""

    def say() -> None:
        logger.info("%s: another process is running it; waiting for its result", folder)

    with locked(_lock(folder), say):
        folder.mkdir(parents=True, exist_ok=True)
        for part in ("", "checkpoints", "logits", "embeddings"):
            remove_leftovers(folder / part)
        yield


@contextmanager
def claimed_if_free(folder: Path) -> Iterator[bool]:
    """Holds a run's folder for the block, as `claimed` does, and gives True; False, without
    waiting, where another process holds it. Creates nothing but the lock."""
    with locked_if_free(_lock(folder)) as free:
        yield free


def is_running(folder: Path) -> bool:
    """Whether a process holds the run's folder: it makes the run, or removes it."""
    if not _lock(folder).is_file():
        return False
    try:
        with claimed_if_free(folder) as free:
            return not free
    except ReadOnlyFolder:  # no process that could run it here could write to it, either
        return False

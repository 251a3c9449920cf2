"""Run folders: one per finished training or fusion, named by its identity.

    runs/<modality>-<model>/<hash>/
        config.yaml, checkpoints/, logits/, metrics.csv, predictions.*, result.json (last)

Reads and claims run folders. Used by whoever makes runs and whoever reads them; imports neither
torch nor Lightning.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from meld_lightning.errors import UserError
from meld_lightning.runs.identity import Identity
from meld_lightning.runs.result import Result, read_result
from meld_lightning.storage.atomic import remove_leftovers
from meld_lightning.storage.once import locked

if TYPE_CHECKING:
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
        """One row per utterance of `split`: key, label, unit, present and a column per label."""
        from meld_lightning.runs.logits import read_logits

        return read_logits(self.folder / "logits" / f"{split}.parquet", self.result.labels)


def load_run(folder: str | Path) -> Run:
    """Reads a finished run; UserError if there is none in `folder`, or a damaged one."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of a finished run")
    if not (folder / "result.json").is_file():
        raise UserError(f"{folder}: no finished run there: it has no result.json")
    result = read_result(folder)
    try:
        config = OmegaConf.load(folder / "config.yaml")
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise UserError(
            f"{folder}: damaged config.yaml ({said}); delete that folder and run the command again"
        ) from error
    assert isinstance(config, DictConfig)
    return Run(folder, result, config)


def find_run(identity: Identity) -> Run | None:
    """The finished run, or None; UserError if files of it are missing."""
    if not (identity.folder / "result.json").is_file():
        return None
    run = load_run(identity.folder)
    for split in run.result.metrics:
        if not (identity.folder / "logits" / f"{split}.parquet").is_file():
            raise UserError(
                f"{identity.folder}: logits/{split}.parquet is gone; delete that folder and run it"
                " again"
            )
    return run


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Holds a run's folder while it is made: a second process that asks for it waits here. The lock
    of a process that dies is released."""

    def say() -> None:
        logger.info("%s: another process is running it; waiting for its result", folder)

    with locked(folder.with_name(f"{folder.name}.lock"), say):
        folder.mkdir(exist_ok=True)
        for part in ("checkpoints", "logits"):
            remove_leftovers(folder / part)
        yield

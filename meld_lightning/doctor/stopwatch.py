"""Notes when each epoch of a short training ends, as a logger that its config names.

Writes RUN/epochs.json. Used by duration.py.
"""

import json
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from meld_lightning.runs.identity import Identity

FILE = "epochs.json"


class Stopwatch(Logger):
    """Appends the time (time.monotonic, in seconds) to FILE in `folder` after each epoch's row of
    metrics; a model that is not fitted has one row."""

    name = version = experiment = None

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._path, self._ends = folder / FILE, list[float]()

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if "epoch" in metrics:
            self._ends.append(time.monotonic())
            self._path.write_text(json.dumps(self._ends))

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Notes nothing."""


def stopwatches(*, cfg: DictConfig, identity: Identity) -> list[Logger]:
    """What `cfg.logger` names."""
    return [Stopwatch(identity.folder)]

"""result.json: what a finished run says of itself. It is written last, so that its presence means
that the run is complete.

Writes into run folders and reads them. Used by training, fusion, launchers and reports.
"""

import dataclasses
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError, with_config

from meld_lightning import metrics
from meld_lightning.errors import UserError, first_line
from meld_lightning.runs.identity import Identity
from meld_lightning.runs.provenance import git_commit, installed_versions, source_digest
from meld_lightning.storage.atomic import write_json

if TYPE_CHECKING:
    import torch


def _figure(value: Any) -> Any:
    """A metric, or one for each label; ValueError for anything else."""
    inner = value.values() if isinstance(value, dict) else [value]
    if not all(one is None or isinstance(one, int | float) for one in inner):
        raise ValueError("expected a number, or one for each label")
    return value


Figure = Annotated[Any, AfterValidator(_figure)]
# what to do about a run whose files are damaged; whoever reads it is often another command
AGAIN = "make that run again, with its own train or fuse command and rerun=true"


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Result:
    """A finished run's figures and provenance.

    metrics: split -> name -> value; of each split also `n` (utterances) and `f1` by label.
    best: the chosen epoch: monitor, value, epoch, and for a training step.
    last: the last epoch's val metrics; None for a fusion.
    fold: the test fold of a corpus split into folds, else None.
    train_majority: the commonest label of train.
    digests: as in Identity.
    accumulation: the number of microbatches per batch, and the optimiser step it applies from.
    source: digest of the package's source; None in results from before it was recorded.
    """

    hash: str
    config_hash: str
    result_version: int
    modality: str
    model: str
    checkpoint: str
    seed: int
    fold: int | str | None
    labels: tuple[str, ...]
    train_majority: str
    digests: dict[str, str]
    metrics: dict[str, dict[str, Figure]]
    best: dict[str, Any]
    commit: str | None
    dirty: bool
    versions: dict[str, str]
    device: str
    peak_memory_mb: int | None = None
    source: str | None = None
    accumulation: list[dict[str, int]] = field(default_factory=list)
    last: dict[str, Figure] | None = None
    wall_s: float | None = None


def read_result(folder: Path) -> Result:
    """The result of the finished run in `folder`; UserError where it is damaged."""
    try:
        return _typed().validate_json((folder / "result.json").read_bytes(), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = f"{where}: {first['msg']}" if where else str(first["msg"])
        if first["type"] == "missing":
            said = f"it lacks '{where}'"
        raise UserError(f"{folder}: damaged result.json ({said}); {AGAIN}") from error
    except OSError as error:
        said = first_line(error)
        raise UserError(f"{folder}: damaged result.json ({said}); {AGAIN}") from error


@functools.cache
def _typed() -> TypeAdapter[Result]:
    return TypeAdapter(Result)


def write_result(folder: Path, result: Result) -> None:
    """Writes result.json atomically: the run is finished from here on."""
    write_json(folder / "result.json", dataclasses.asdict(result))


def provenance(identity: Identity, device: "torch.device") -> dict[str, Any]:
    """The fields of a Result that say what the run is and what it was computed with."""
    commit, dirty = git_commit()
    return {
        "hash": identity.hash,
        "config_hash": identity.config_hash,
        "result_version": identity.result_version,
        "digests": identity.digests,
        "commit": commit,
        "dirty": dirty,
        "source": source_digest(),
        "versions": installed_versions(),
        "device": _device_name(device),
        "peak_memory_mb": _peak_memory_mb(device),
    }


def split_metrics(true: np.ndarray, logits: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """Loss and metrics of logits (N, C) against label indices (N,), n, and each label's F1."""
    matrix = metrics.confusion(true, logits.argmax(1), len(labels))
    per_class = metrics.by_class(matrix)["f1"]
    f1 = {label: float(value) for label, value in zip(labels, per_class, strict=True)}
    return {**metrics.scores(true, logits), "n": len(true), "f1": f1}


def _device_name(device: "torch.device") -> str:
    """As provenance.device_here."""
    import platform

    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {platform.machine()}"


def _peak_memory_mb(device: "torch.device") -> int:
    """Peak memory of the CUDA device, else this process's peak resident set."""
    import resource
    import sys

    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated() / 2**20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 if sys.platform != "darwin" else 2**20)

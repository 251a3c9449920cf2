"""What a finished run records: result.json, predictions, and what it was computed with.

Writes into run folders. Used by training and fusing.
"""

import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig

from meld_lightning import metrics
from meld_lightning.corpus import SPLITS, Corpus
from meld_lightning.errors import UserError, near_miss
from meld_lightning.metrics import scores
from meld_lightning.runs.run import Identity, git_commit
from meld_lightning.storage.atomic import atomic_write


def check_monitor(monitor: str) -> None:
    """UserError unless it is a metric of val: nothing is ever chosen on train or test."""
    known = [f"val/{name}" for name in ("loss", *metrics.METRICS)]
    if monitor not in known:
        raise UserError(f"monitor={monitor}: expected a val/ metric{near_miss(monitor, known)}")


def split_metrics(true: np.ndarray, logits: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """Loss and metrics of logits (N, C) against label indices (N,), n, and each label's F1."""
    per_class = metrics.by_class(metrics.confusion(true, logits.argmax(1), len(labels)))["f1"]
    f1 = {label: float(value) for label, value in zip(labels, per_class, strict=True)}
    return {**scores(true, logits), "n": len(true), "f1": f1}


def predictions(table: pd.DataFrame, logits: np.ndarray, labels: tuple[str, ...]) -> pd.DataFrame:
    """The paper's data frame (Section B): who said what, its true and predicted label, and how sure
    the model is.

    `table` has `present`: False where the prediction is the commonest label because the modality is
    missing.
    """
    probabilities = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
    frame = table[["key", "split", "speaker", "text"]].copy()
    frame["true_label"] = [labels[index] for index in table["label"]]
    frame["predicted_label"] = [labels[index] for index in logits.argmax(1)]
    frame["confidence"] = probabilities.max(1)
    frame["present"] = table["present"].to_numpy()
    return frame


def write_predictions(folder: Path, frame: pd.DataFrame) -> None:
    """predictions.parquet and predictions.csv."""
    with atomic_write(folder / "predictions.parquet") as fresh:
        frame.to_parquet(fresh, index=False)
    with atomic_write(folder / "predictions.csv") as fresh:
        frame.to_csv(fresh, index=False)


def labelled(corpus: Corpus, target: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The corpus table with `label`, an index into the label names that come with it; UserError for
    a row without."""
    labels = corpus.labels(target)
    table = corpus.table.reset_index(drop=True)
    table["label"] = pd.Categorical(table[target], categories=list(labels)).codes.astype(np.int64)
    for split in SPLITS:
        if not (table["split"] == split).any():
            raise UserError(
                f"corpus {corpus.name}: no utterance in split {split}; all of {', '.join(SPLITS)} are needed"
            )
    if (table["label"] < 0).any():
        row = table[table["label"] < 0].iloc[0]
        raise UserError(f"corpus {corpus.name}: {row['key']} has no {target}; choose target=emotion or label it")
    return table, labels


def provenance(
    cfg: DictConfig, identity: Identity, table: pd.DataFrame, labels: tuple[str, ...], device: torch.device
) -> dict[str, Any]:
    """The part of result.json that says what the run is and what it was computed with."""
    commit, dirty = git_commit()
    return {
        "hash": identity.hash,
        "config_hash": identity.config_hash,
        "result_version": identity.config["result_version"],
        "modality": identity.folder.parent.name.split("-")[0],
        "seed": cfg.seed,
        "fold": cfg.corpus.fold if cfg.corpus.split else None,
        "labels": list(labels),
        "train_majority": labels[np.bincount(table.loc[table["split"] == "train", "label"]).argmax()],
        "digests": identity.digests,
        "commit": commit,
        "dirty": dirty,
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type} {platform.machine()}",
        "versions": _versions(),
        "peak_memory_mb": _peak_memory_mb(device),
    }


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "pytorch-lightning", "transformers", "tokenizers", "numpy", "av")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def _peak_memory_mb(device: torch.device) -> int:
    """Of the device where that is CUDA, else of this process (resident set)."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated() / 2**20)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform != "darwin" else 2**20)

"""Logits: what a run leaves for others. One row per utterance, joined by key, never by order.

Columns: key, label (the true label's name), unit (what an interval resamples: the dialogue, else
the speaker, else the utterance), present (False where the modality is missing and the logits are
the prior of train), then one float32 column per label. Written by training, read by fusion and the
report.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from meld_lightning.errors import UserError
from meld_lightning.storage.atomic import atomic_write
from meld_lightning.storage.fingerprint import bytes_digest

FIXED = ["key", "label", "unit", "present"]


def write_logits(
    path: Path, table: pd.DataFrame, logits: np.ndarray, labels: Sequence[str]
) -> None:
    """Writes `logits` (N, C) beside key, label (an index into `labels`), unit and present of
    `table`, atomically."""
    frame = table[FIXED].reset_index(drop=True)
    frame["label"] = [labels[index] for index in frame["label"]]
    for column, label in enumerate(labels):
        frame[label] = logits[:, column].astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as fresh:
        frame.to_parquet(fresh, compression="zstd", index=False)


def read_logits(path: Path, labels: Sequence[str]) -> pd.DataFrame:
    """Reads what `write_logits` wrote; raises UserError if the labels or the keys are not what a
    run leaves."""
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; delete the run's folder and run it again") from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); delete the run's folder and run it again"
        ) from error
    if "present" not in frame.columns:  # a run of text from before there was any other modality
        frame.insert(FIXED.index("present"), "present", True)
    if list(frame.columns) != [*FIXED, *labels]:
        raise UserError(f"{path}: columns {list(frame.columns)}, expected {[*FIXED, *labels]}")
    if frame["key"].duplicated().any():
        raise UserError(
            f"{path}: utterance {frame['key'][frame['key'].duplicated()].iloc[0]} occurs twice"
        )
    return frame


def logits_digest(frame: pd.DataFrame) -> str:
    """Sixteen hex digits over every row and column of what `read_logits` gives."""
    labels = [name for name in frame.columns if name not in FIXED]
    rows = frame[FIXED].astype(object).to_numpy().tolist()
    scores = np.ascontiguousarray(frame[labels].to_numpy(np.float32)).tobytes()
    return bytes_digest([json.dumps([labels, rows]).encode(), scores])[:16]

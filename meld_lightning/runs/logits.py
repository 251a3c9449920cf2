"""Logits: what a run leaves for others. One row per utterance, joined by key, never by order.

Columns: key, label (the true label's name), unit (what intervals and tests take as independent: the
dialogue, or the speaker where speakers are held out or there are no dialogues, else the utterance),
present (False where the modality is missing or the model's logits were not finite: the logits are
then the prior of train, or of val for a fusion that was fitted), then one float32 column
`logit.<label>` per label: the prefix keeps a label named "present" apart from the columns above.
Written by training and fusion, read by fusion and the report.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meld_lightning.errors import UserError, first_line
from meld_lightning.runs.result import AGAIN
from meld_lightning.storage.fingerprint import bytes_digest
from meld_lightning.storage.parquet import read_parquet, write_parquet

FIXED = ["key", "label", "unit", "present"]
PREFIX = "logit."


def logit_columns(labels: Sequence[str]) -> list[str]:
    """The columns that hold the logits of `labels`, in the same order."""
    return [f"{PREFIX}{label}" for label in labels]


def logits_of(frame: pd.DataFrame, labels: Sequence[str], dtype: Any = np.float64) -> np.ndarray:
    """The logits (N, C) in a frame as `read_logits` gives it, in the order of `labels`."""
    return frame[logit_columns(labels)].to_numpy(dtype)


def write_logits(
    path: Path, table: pd.DataFrame, logits: np.ndarray, labels: Sequence[str]
) -> None:
    """Writes `logits` (N, C) beside key, label (an index into `labels`), unit and present of
    `table`, atomically; UserError, and no file, where a logit is not finite."""
    scores = pd.DataFrame(logits.astype(np.float32), columns=logit_columns(labels))
    frame = table[FIXED].reset_index(drop=True)
    _check_finite(str(path), frame["key"], scores.to_numpy())
    frame["label"] = [labels[index] for index in frame["label"]]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(path, pd.concat([frame, scores], axis=1), "zstd")


def read_logits(path: Path, labels: Sequence[str]) -> pd.DataFrame:
    """Reads what `write_logits` wrote; UserError if the file is damaged or is not what a run with
    these labels leaves."""
    try:
        frame = read_parquet(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; {AGAIN}") from error
    except (OSError, ValueError) as error:
        said = first_line(error)
        raise UserError(f"{path}: cannot be read ({said}); {AGAIN}") from error
    check_logits(frame, labels, str(path))
    return frame


def check_logits(frame: pd.DataFrame, labels: Sequence[str], where: str) -> None:
    """UserError, which names `where`, unless the frame has the columns of a run with these labels,
    known labels, and every utterance once with finite logits."""
    expected = [*FIXED, *logit_columns(labels)]
    if list(frame.columns) != expected:
        found = ", ".join(str(name) for name in frame.columns)
        raise UserError(
            f"{where}: columns {found}; expected {', '.join(expected)}: another version of this"
            f" package wrote it; {AGAIN}"
        )
    if frame["key"].duplicated().any():
        odd = frame["key"][frame["key"].duplicated()].iloc[0]
        raise UserError(f"{where}: utterance {odd} occurs twice; {AGAIN}")
    unknown = frame[~frame["label"].isin(labels)]
    if len(unknown):
        key, label = unknown["key"].iloc[0], unknown["label"].iloc[0]
        raise UserError(
            f"{where}: the label of {key} is '{label}', expected one of {list(labels)}; {AGAIN}"
        )
    _check_finite(where, frame["key"], logits_of(frame, labels))


def logits_digest(frame: pd.DataFrame) -> str:
    """Sixteen hex digits over every row and column of what `read_logits` gives."""
    labels = [name.removeprefix(PREFIX) for name in frame.columns if name not in FIXED]
    rows = frame[FIXED].astype(object).to_numpy().tolist()
    scores = np.ascontiguousarray(logits_of(frame, labels, np.float32)).tobytes()
    return bytes_digest([json.dumps([labels, rows]).encode(), scores])[:16]


def _check_finite(where: str, keys: pd.Series, logits: np.ndarray) -> None:
    finite_N = np.isfinite(logits).all(1)
    if not finite_N.all():
        raise UserError(f"{where}: logits of {keys[~finite_N].iloc[0]} are not finite; {AGAIN}")

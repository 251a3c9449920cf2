"""Answers as JSON, JSON lines and CSV, for programs. terminal.py shows them to people.

Writes the file that a user names, atomically. Used by the commands `predict` and `demo`.

Answers are a DataFrame with one row per item, in the order of the items:

- id: the item's id
- emotion: the most probable label; confidence: its probability
- entropy: the entropy of all probabilities in bits
- abstained: whether the answer is too uncertain, or nothing of the item could be read (bool)
- p.<label>: the probability of each label, in the order of the labels
- share.<modality>: each modality's share in the decision, negative if it speaks against the
  predicted label, NaN if it is missing
- used: tuple of the modalities that the answer is based on
- missing: dict modality -> why it is missing
- start, end: seconds within the clip; NaN for a whole clip
- set: tuple of labels, the conformal prediction set; only if conformal= was given
- text: the item's text or its transcript, None without one; only if an item has one

A JSON document has the keys `format`, `version`, `labels`, `modalities`, what the caller adds about
the model, and `items`. Each item, alone on a line in JSON lines, has the keys id, emotion,
confidence, entropy, abstained, probabilities {label: p}, shares {modality: share}, used [modality],
missing {modality: reason}, start, end and, if the answers have them, set [label] and text. NaN
becomes null. CSV has the columns of the answers; members of tuples are separated by blanks, reasons
by semicolons.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from meld_lightning.errors import UserError
from meld_lightning.storage.atomic import write_text

FORMAT, VERSION = "meld-lightning predictions", 1
LABEL, SHARE = "p.", "share."
PLAIN = ("id", "emotion", "confidence", "entropy", "abstained")


def labels_of(answers: pd.DataFrame) -> list[str]:
    """The labels, in order."""
    return [name.removeprefix(LABEL) for name in answers.columns if name.startswith(LABEL)]


def modalities_of(answers: pd.DataFrame) -> list[str]:
    """The modalities of the model, in order."""
    return [name.removeprefix(SHARE) for name in answers.columns if name.startswith(SHARE)]


def as_json(answers: pd.DataFrame, about: Mapping[str, Any] | None = None) -> str:
    """One JSON document. about: further keys, about the model."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "labels": labels_of(answers),
        "modalities": modalities_of(answers),
        **(about or {}),
        "items": _items(answers),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_json_lines(answers: pd.DataFrame, about: Mapping[str, Any] | None = None) -> str:
    """One JSON object per item and line; `about` is left out."""
    return "".join(
        json.dumps(item, ensure_ascii=False, allow_nan=False) + "\n" for item in _items(answers)
    )


def as_csv(answers: pd.DataFrame, about: Mapping[str, Any] | None = None) -> str:
    """A header and one row per item; `about` is left out."""
    flat = answers.copy()
    for column in ("used", "set"):
        if column in flat:
            flat[column] = [" ".join(one) for one in flat[column]]
    flat["missing"] = ["; ".join(f"{k}: {v}" for k, v in one.items()) for one in flat["missing"]]
    return str(flat.to_csv(index=False, lineterminator="\n"))


FORMATS: dict[str, Callable[[pd.DataFrame, Mapping[str, Any] | None], str]] = {
    ".json": as_json,
    ".jsonl": as_json_lines,
    ".csv": as_csv,
}


def check_target(path: Path) -> None:
    """Raises UserError if answers cannot be written to `path`; to be called before the work."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: unknown format; give a name that ends in {', '.join(FORMATS)}")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise UserError(f"{path}: no such folder as {path.parent}; make it first")


def write_answers(
    path: Path, answers: pd.DataFrame, about: Mapping[str, Any] | None = None
) -> None:
    """Writes the answers in the format that the name of `path` ends in (see FORMATS), atomically.

    Raises UserError if the format is unknown or there is no such folder.
    """
    check_target(path)
    write_text(path, FORMATS[path.suffix.lower()](answers, about))


def _items(answers: pd.DataFrame) -> list[dict[str, Any]]:
    return [_item(row) for row in answers.to_dict("records")]


def _item(row: Mapping[str, Any]) -> dict[str, Any]:
    item: dict[str, Any] = {name: _plain(row[name]) for name in PLAIN}
    for key, prefix in (("probabilities", LABEL), ("shares", SHARE)):
        item[key] = {
            name.removeprefix(prefix): _plain(value)
            for name, value in row.items()
            if name.startswith(prefix)
        }
    item |= {"used": list(row["used"]), "missing": dict(row["missing"])}
    item |= {name: _plain(row[name]) for name in ("start", "end")}
    if "set" in row:
        item["set"] = list(row["set"])
    if "text" in row:
        item["text"] = _plain(row["text"])
    return item


def _plain(value: Any) -> Any:
    """A cell for JSON: numpy's numbers as Python's, and None for NaN and infinity."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value

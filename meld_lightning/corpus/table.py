"""Corpus: one row per utterance, with its labels, its report and its digest.

Reads and writes nothing; the loaders in this package make it, every other room reads it.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from meld_lightning.errors import UserError
from meld_lightning.storage.fingerprint import bytes_digest

COLUMNS = (
    "key",
    "split",
    "dialogue_id",
    "utterance_id",
    "speaker",
    "text",
    "emotion",
    "sentiment",
    "start_s",
    "end_s",
    "season",
    "episode",
    "clip",
    "audio",
    "unit",
)
# What a result can depend on. Not the paths (moved data is the same data), nor what follows from
# the others (unit).
DIGESTED = (
    "key",
    "split",
    "dialogue_id",
    "utterance_id",
    "speaker",
    "text",
    "emotion",
    "sentiment",
    "start_s",
    "end_s",
)
_OPTIONAL = ("dialogue_id", "speaker", "sentiment", "clip", "audio")
_WHOLE = ("utterance_id", "season", "episode")


@dataclass(frozen=True, eq=False)
class Corpus:
    """A corpus as the rest of the project sees it.

    name: what the configuration calls it.
    table: DataFrame (N rows), columns COLUMNS. `key` is unique ("test/dia12_utt3", or a manifest's
        id); `split` is
    train,
        val or test; times are seconds; `clip` and `audio` are paths or None; `unit` names what a
        bootstrap draws (the dialogue, else the speaker, else the utterance). Where a manifest lacks
        a column its values are None, <NA> or NaN.
    emotions, sentiments: the labels in their fixed order; sentiments is empty where there are none.
    report: what was found, as plain JSON-able data (see report.py).
    sources: the files whose content the table was read from.
    """

    name: str
    table: pd.DataFrame
    emotions: tuple[str, ...]
    sentiments: tuple[str, ...]
    report: dict[str, Any]
    sources: tuple[Path, ...] = ()

    def labels(self, target: str) -> tuple[str, ...]:
        """The labels of `target` ("emotion" or "sentiment") in order; UserError where the corpus
        has none."""
        choices = {"emotion": self.emotions, "sentiment": self.sentiments}
        if target not in choices:
            raise UserError(f"target {target!r} is unknown: choose emotion or sentiment")
        if not choices[target]:
            raise UserError(
                f"corpus {self.name!r} has no {target} labels: add a column {target!r} or choose"
                " another target"
            )
        return choices[target]

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) over DIGESTED, row by row in table order: neither the name nor the place of
        the data matters."""
        rows = self.table[list(DIGESTED)].itertuples(index=False, name=None)
        return bytes_digest(json.dumps([_plain(value) for value in row]).encode() for row in rows)


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with COLUMNS in order and each column in its own type, the same after loading and
    after Parquet."""
    table = table.reindex(columns=list(COLUMNS)).reset_index(drop=True)
    for column in COLUMNS:
        values = table[column]
        if column in _WHOLE:
            table[column] = values.astype("Int64" if values.isna().any() else "int64")
        elif column in ("start_s", "end_s"):
            table[column] = values.astype("float64")
        elif column == "dialogue_id" and len(values) and pd.api.types.is_integer_dtype(values):
            table[column] = values.astype("int64")
        elif column in _OPTIONAL:  # object, so that an absent value is None and not NaN
            table[column] = values.astype(object).where(values.notna(), None)
        else:
            table[column] = values.astype("str")
    return table


def _plain(value: Any) -> Any:
    if value is None or pd.isna(value):
        return None
    if isinstance(value, float):
        return f"{value:.3f}"
    return value if isinstance(value, str) else int(value)

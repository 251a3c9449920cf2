"""Corpus: the table with one row per utterance, its labels, its report and its digest.

Reads and writes nothing. The readers of this room make it; every other room reads it.
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
# The columns that a result can depend on: not paths (moved data is the same data), nor `unit`,
# which follows from others except where speakers, not dialogues, are held out (see Corpus.digest).
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
VOTES = "votes."  # begins the columns of readers' votes, which only corpus.votes adds
_OPTIONAL = ("dialogue_id", "speaker", "sentiment", "clip", "audio")
_WHOLE = ("utterance_id", "season", "episode")


@dataclass(frozen=True, eq=False)
class Corpus:
    """A corpus as the rest of the project sees it.

    Attributes:
        name: its name in the configuration.
        table: DataFrame (N rows) with COLUMNS. `key` is unique ("test/dia12_utt3", or a manifest's
            id); `split` is train, val or test; times are in seconds; `clip` and `audio` are paths
            or None; `unit` is what intervals and tests take as independent: the coarser of what the
            splits keep whole and the dialogue, else the speaker, else the utterance. If the source
            lacks a column, its values are None, `<NA>` or NaN. With corpus.votes it also has a
            column `votes.<emotion>` for each emotion that readers voted for (see emotionlines.py).
        emotions: the labels in their fixed order.
        sentiments: the same for sentiments; empty if there are none.
        report: what was found, as JSON-able data (see report/build.py).
        sources: the files that the table was read from.
    """

    name: str
    table: pd.DataFrame
    emotions: tuple[str, ...]
    sentiments: tuple[str, ...]
    report: dict[str, Any]
    sources: tuple[Path, ...] = ()

    def labels(self, target: str) -> tuple[str, ...]:
        """The labels of `target` ("emotion" or "sentiment") in order; UserError if the corpus has
        none, or only one."""
        choices = {"emotion": self.emotions, "sentiment": self.sentiments}
        if target not in choices:
            raise UserError(f"target={target}: unknown; choose emotion or sentiment")
        if not choices[target]:
            raise UserError(
                f"corpus {self.name!r} has no {target} labels: add a column {target!r} or choose"
                " another target"
            )
        if len(choices[target]) == 1:
            raise UserError(
                f"the corpus has one {target} only ({choices[target][0]}); a classifier needs at"
                " least two"
            )
        return choices[target]

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of the columns DIGESTED, row by row, and of `unit` where speakers, and not
        their dialogues, are the units. It does not depend on the corpus's name or folder."""
        speakers = self.table["dialogue_id"].notna() & (self.table["unit"] == self.table["speaker"])
        columns = [*DIGESTED, "unit"] if speakers.any() else list(DIGESTED)
        rows = self.table[columns].itertuples(index=False, name=None)
        return bytes_digest(json.dumps([_plain(value) for value in row]).encode() for row in rows)


def typed(table: pd.DataFrame, votes: bool = False) -> pd.DataFrame:
    """`table` with exactly COLUMNS, each with its own type, so that a table read from the source
    equals one read from Parquet. votes: with its columns of votes, too."""
    voted = [str(name) for name in table if votes and str(name).startswith(VOTES)]
    table = table.reindex(columns=[*COLUMNS, *voted]).reset_index(drop=True)
    for column in table:
        values = table[column]
        if column in voted:
            table[column] = values.astype("Int64")
        elif column in _WHOLE:
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

"""The layout "manifest": your own CSV or Parquet file with one row per utterance and any label set.

Required columns: id, text, emotion. Optional: split (train, val or dev, test), unless corpus.split
says how to make one; speaker, dialogue, utterance, sentiment; clip and audio (paths relative to the
manifest's folder); start and end (seconds or h:mm:ss,mmm). corpus.test names a second such file
whose rows are all test. Reads these files; used by load.py.
"""

import math
from pathlib import Path

import pandas as pd

from meld_lightning.corpus.labels import EMOTIONS, SENTIMENTS, ordered
from meld_lightning.corpus.readers.csv_records import (
    Record,
    check_columns,
    filled,
    milliseconds,
    optional,
    read_records,
    repaired_record,
    whole,
)
from meld_lightning.corpus.readers.layout import Found, ReadRequest
from meld_lightning.corpus.readers.manifest_splits import (
    coarsest_units,
    split_beside,
    split_records,
)
from meld_lightning.corpus.table import typed
from meld_lightning.errors import UserError

VERSION = 2
REQUIRED = ("id", "text", "emotion")
KNOWN = (
    *REQUIRED,
    "split",
    "speaker",
    "dialogue",
    "utterance",
    "sentiment",
    "clip",
    "audio",
    "start",
    "end",
)


def read(request: ReadRequest) -> Found:
    """Every row of the manifest, in file order, followed by those of the test manifest, if any."""
    path, test = request.root, request.test
    records, left_out = _read(path, "corpus.root"), 0
    if test is None:
        splits = split_records(records, request)
    else:
        others, before = _read(test, "corpus.test"), len(records)
        records, splits = split_beside(others, records, request)
        left_out = before - len(records)
        records, splits = [*records, *others], [*splits, *["test"] * len(others)]
    _check_case(records)
    missing: list[tuple[str, str]] = []
    rows = _rows(records, splits, missing)
    for row, unit in zip(rows, coarsest_units(records, splits, request.split), strict=True):
        row["unit"] = unit
    table = typed(pd.DataFrame(rows))
    return Found(
        name=path.stem,
        folder=path.parent,
        table=table,
        emotions=ordered(table["emotion"], EMOTIONS),
        sentiments=ordered(table["sentiment"].dropna(), SENTIMENTS),
        sources=(path,) if test is None else (path, test),
        repaired=tuple(record.repaired for record in records),
        missing=tuple(missing),
        ignored_columns=tuple(name for name in records[0].fields if name not in KNOWN),
        left_out=left_out,
    )


def _rows(
    records: list[Record], splits: list[str], missing: list[tuple[str, str]]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    first: dict[object, int] = {}
    turns: dict[str, int] = {}
    for record, split in zip(records, splits, strict=True):
        row = _row(record, split, turns, missing)
        if row["key"] in first:
            raise UserError(
                f"{record.where}: id {row['key']!r} is already in row {first[row['key']]}; ids must"
                " be unique"
            )
        first[row["key"]] = record.row
        rows.append(row)
    return rows


def _read(path: Path, key: str) -> list[Record]:
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the CSV or Parquet file as {key}")
    return (
        _read_parquet(path)
        if path.suffix.lower() in (".parquet", ".pq")
        else read_records(path, REQUIRED)
    )


def _read_parquet(path: Path) -> list[Record]:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise UserError(
            f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}); write it again"
        ) from error
    check_columns(path, [str(name) for name in table.columns], REQUIRED)
    if table.empty:
        raise UserError(f"{path}: no rows")
    texts = {
        str(name): [_as_text(value) for value in table[name]]
        for name in table.columns
        if str(name) in KNOWN
    }
    others = {str(name): "" for name in table.columns if str(name) not in KNOWN}
    return [
        repaired_record(
            path, number, {name: values[number - 2] for name, values in texts.items()} | others
        )
        for number in range(2, len(table) + 2)
    ]


def _as_text(value: object) -> str:
    if value is None or pd.isna(value):
        return ""
    if (
        isinstance(value, float) and value.is_integer()
    ):  # a whole-number column with gaps arrives as floats
        return str(int(value))
    return str(value)


def _check_case(records: list[Record]) -> None:
    """Raises UserError for two labels that differ only in case: one of them is misspelt."""
    seen: dict[str, Record] = {}
    for record in records:
        label = filled(record, "emotion")
        other = seen.setdefault(label.casefold(), record)
        if filled(other, "emotion") != label:
            raise UserError(
                f"{record.where}: emotion {label!r} and {filled(other, 'emotion')!r} (row"
                f" {other.row}) differ only in case; spell them the same way"
            )


def _row(
    record: Record, split: str, turns: dict[str, int], missing: list[tuple[str, str]]
) -> dict[str, object]:
    key = filled(record, "id")
    dialogue, speaker = optional(record, "dialogue"), optional(record, "speaker")
    utterance = None
    if dialogue is not None:  # without numbers, the turns are in the order of the file
        turns[dialogue] = turns.get(dialogue, -1) + 1
        numbered = optional(record, "utterance") is not None
        utterance = whole(record, "utterance") if numbered else turns[dialogue]
    return {
        "key": key,
        "split": split,
        "dialogue_id": dialogue,
        "utterance_id": utterance,
        "speaker": speaker,
        "text": record.fields["text"],
        "emotion": filled(record, "emotion"),
        "sentiment": optional(record, "sentiment"),
        "start_s": _seconds(record, "start"),
        "end_s": _seconds(record, "end"),
        "season": None,
        "episode": None,
        "clip": _path(record, "clip", key, missing),
        "audio": _path(record, "audio", key, missing),
    }


def _seconds(record: Record, column: str) -> float:
    value = optional(record, column)
    if value is None:
        return math.nan
    if ":" in value:
        return milliseconds(record, column) / 1000
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UserError(
            f"{record.where}: {column} {value!r} is neither seconds nor a time like 00:16:16,059;"
            " correct the row"
        )
    return seconds


def _path(record: Record, column: str, key: str, missing: list[tuple[str, str]]) -> str | None:
    value = optional(record, column)
    if value is None:
        return None
    path = record.file.parent / Path(value).expanduser()
    if path.is_file():
        return str(path)
    missing.append((key, f"{column} {value}"))
    return None

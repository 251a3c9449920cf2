"""The "manifest" layout: the user's own CSV or Parquet file, one row per utterance, with any label
set.

Columns: id, text, emotion; split (train, val or dev, test) unless corpus.split says how to make
one; and where there are any: speaker, dialogue, utterance, sentiment, clip, audio (paths, from the
manifest's folder), start, end (seconds or h:mm:ss,mmm). corpus.test names a second such file, all
of it test. Reads these files; used by loading.py.
"""

import math
from pathlib import Path

import pandas as pd

from meld_lightning.corpus.folds import split_by_units
from meld_lightning.corpus.readers.csv_records import (
    Record,
    check_columns,
    choice,
    milliseconds,
    read_records,
    repaired_record,
    whole,
)
from meld_lightning.corpus.readers.meld import Found
from meld_lightning.corpus.table import typed
from meld_lightning.errors import UserError

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
SPLIT_NAMES = {
    "train": "train",
    "val": "val",
    "dev": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
UNITS = ("speaker", "dialogue", "row")


def read_manifest(
    path: Path, split: str | None, folds: int, fold: int, test: Path | None = None
) -> Found:
    """Every row of the manifest at `path`, in file order, then of `test`; the other arguments as in
    load_corpus."""
    records = _read(path, "corpus.root")
    left_out = 0
    if test is None:
        splits = _splits(path, records, split, folds, fold)
    else:
        others, before = _read(test, "corpus.test"), len(records)
        records, splits = _beside(records, others, split, folds, fold)
        left_out = before - len(records)
        records, splits = [*records, *others], [*splits, *["test"] * len(others)]
    _check_case(records)
    rows: list[dict[str, object]] = []
    first: dict[object, int] = {}
    missing: list[tuple[str, str]] = []
    turns: dict[str, int] = {}
    for record, part in zip(records, splits, strict=True):
        row = _row(record, part, turns, missing)
        if row["key"] in first:
            raise UserError(
                f"{record.where}: id {row['key']!r} already stands in row {first[row['key']]}; ids"
                " must be unique"
            )
        first[row["key"]] = record.row
        rows.append(row)
    return Found(
        typed(pd.DataFrame(rows)),
        (path,) if test is None else (path, test),
        [record.repaired for record in records],
        missing=tuple(missing),
        ignored=tuple(name for name in records[0].fields if name not in KNOWN),
        left_out=left_out,
    )


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


def _splits(
    path: Path, records: list[Record], split: str | None, folds: int, fold: int
) -> list[str]:
    if "split" in records[0].fields:
        if split is not None:
            raise UserError(
                f"{path}: has a column 'split', and corpus.split={split} is set too; drop one of"
                " them"
            )
        parts = [
            SPLIT_NAMES[choice(record, "split", tuple(SPLIT_NAMES), fold_case=True)]
            for record in records
        ]
        for part in ("train", "val", "test"):
            if part not in parts:
                raise UserError(
                    f"{path}: no row has split {part}; add some, or remove the column and set"
                    " corpus.split"
                )
        return parts
    if split is None:
        raise UserError(
            f"{path}: no column 'split' and no corpus.split; add the column, or set corpus.split to"
            f" {', '.join(UNITS[:-1])} or {UNITS[-1]}"
        )
    return split_by_units(_units(records, split), folds, fold)


def _beside(
    records: list[Record], others: list[Record], split: str | None, folds: int, fold: int
) -> tuple[list[Record], list[str]]:
    """Those of `records` whose unit the `others`, which are test, do not hold; and the split of
    each."""
    for record in (records[0], others[0]):
        if split is None or "split" in record.fields:
            raise UserError(
                f"{record.file}: with corpus.test, corpus.split says what goes whole into train or"
                f" val ({', '.join(UNITS)}), and no column 'split'"
            )
    assert split is not None
    taken = set(_units(others, split))
    left = [
        (record, unit)
        for record, unit in zip(records, _units(records, split), strict=True)
        if unit not in taken
    ]
    if not left:
        raise UserError(
            f"{records[0].file}: every row's {split} is in {others[0].file} too, which is test:"
            " nothing is left"
        )
    return [record for record, _ in left], split_by_units(
        [unit for _, unit in left], folds, fold, held_out=False
    )


def _units(records: list[Record], split: str) -> list[str]:
    """What of each row must not be torn apart."""
    if split not in UNITS:
        raise UserError(f"corpus.split {split!r} is unknown; expected one of {', '.join(UNITS)}")
    column = "id" if split == "row" else split
    if column not in records[0].fields:
        found = ", ".join(records[0].fields)
        raise UserError(
            f"{records[0].file}: corpus.split={split} needs a column {column!r}; columns found:"
            f" {found}"
        )
    return [_filled(record, column) for record in records]


def _check_case(records: list[Record]) -> None:
    """Two labels that differ only in case are one label misspelt."""
    seen: dict[str, Record] = {}
    for record in records:
        label = _filled(record, "emotion")
        other = seen.setdefault(label.casefold(), record)
        if _filled(other, "emotion") != label:
            raise UserError(
                f"{record.where}: emotion {label!r} and {_filled(other, 'emotion')!r} (row"
                f" {other.row}) differ only in case; write them alike"
            )


def _row(
    record: Record, split: str, turns: dict[str, int], missing: list[tuple[str, str]]
) -> dict[str, object]:
    key, dialogue, speaker = (
        _filled(record, "id"),
        _optional(record, "dialogue"),
        _optional(record, "speaker"),
    )
    utterance = None
    if dialogue is not None:  # without numbers, a dialogue's rows are in the order of the file
        turns[dialogue] = turns.get(dialogue, -1) + 1
        utterance = (
            turns[dialogue]
            if _optional(record, "utterance") is None
            else whole(record, "utterance")
        )
    unit = (
        key
        if dialogue is None and speaker is None
        else speaker
        if dialogue is None
        else f"{split}/{dialogue}"
    )
    return {
        "key": key,
        "split": split,
        "dialogue_id": dialogue,
        "utterance_id": utterance,
        "speaker": speaker,
        "unit": unit,
        "text": record.fields["text"],
        "emotion": _filled(record, "emotion"),
        "sentiment": _optional(record, "sentiment"),
        "start_s": _seconds(record, "start"),
        "end_s": _seconds(record, "end"),
        "season": None,
        "episode": None,
        "clip": _path(record, "clip", key, missing),
        "audio": _path(record, "audio", key, missing),
    }


def _optional(record: Record, column: str) -> str | None:
    return record.fields.get(column, "").strip() or None


def _filled(record: Record, column: str) -> str:
    value = _optional(record, column)
    if value is None:
        raise UserError(f"{record.where}: {column} is empty; fill it in or remove the row")
    return value


def _seconds(record: Record, column: str) -> float:
    value = _optional(record, column)
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
            " mend the row"
        )
    return seconds


def _path(record: Record, column: str, key: str, missing: list[tuple[str, str]]) -> str | None:
    value = _optional(record, column)
    if value is None:
        return None
    path = record.file.parent / Path(value).expanduser()
    if path.is_file():
        return str(path)
    missing.append((key, f"{column} {value}"))
    return None

"""Reads one file of a manifest, CSV or Parquet, into records with our names for its columns.

Reads these files; used by manifest.py and, for tables without labels, by
inference/item_tables.py.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from meld_lightning.corpus.look_alikes import clean_name
from meld_lightning.corpus.readers.clip_files import Finder
from meld_lightning.corpus.readers.csv_records import (
    Record,
    Sheet,
    check_columns,
    cleaned,
    read_records,
    repaired_record,
)
from meld_lightning.corpus.readers.manifest_names import (
    COLUMNS,
    NAMES,
    ignored_columns,
    needed_columns,
    our_fields,
)
from meld_lightning.errors import UserError, first_line
from meld_lightning.storage.parquet import read_parquet


@dataclass(frozen=True)
class ManifestSheet:
    """One file: its rows with our column names, the columns that are not used, the separator of
    its columns, and what was assumed to read it."""

    path: Path
    records: list[Record]
    ignored: tuple[str, ...]
    separator: str
    assumed: tuple[str, ...]


def read_sheet(path: Path, key: str, columns: Mapping[str, str]) -> ManifestSheet:
    """The manifest `path`; UserError if it is missing or cannot be read.

    key: the config key that names it. columns: our name -> the file's name (corpus.columns).
    """
    columns = {ours: clean_name(theirs) for ours, theirs in columns.items()}
    path = _file(path, key)
    sheet = read_rows(path, needed_columns(columns))
    renamed = [
        replace(record, fields=our_fields(record.fields, columns)) for record in sheet.records
    ]
    records = [
        replace(clean, source_id=record.fields["id"])
        for record, clean in zip(renamed, cleaned(renamed, NAMES, "text"), strict=True)
    ]
    ignored = ignored_columns(sheet.columns, columns)
    return ManifestSheet(path, records, ignored, sheet.separator, sheet.assumed)


def read_rows(path: Path, needed: Collection[str] | Mapping[str, str]) -> Sheet:
    """The rows of a CSV or Parquet file; UserError if it cannot be read or lacks a column of
    `needed` (with a mapping: column -> what else to do where it is missing)."""
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path, needed)
    return read_records(path, needed, COLUMNS)


def _file(path: Path, key: str) -> Path:
    if os.path.isdir(path):  # noqa: PTH112 -- Path.is_dir raises on what it may not see
        raise UserError(
            f"{path}: is a folder; give the CSV or Parquet file as {key}, or choose"
            " corpus=meld for a folder with MELD's own files"
        )
    found, reason = Finder().find(path)
    if found is None:
        said = "no such file" if reason == "file not found" else reason
        raise UserError(f"{path}: {said}; give the CSV or Parquet file as {key}")
    return found


def _read_parquet(path: Path, needed: Collection[str] | Mapping[str, str]) -> Sheet:
    try:
        table = read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise UserError(
            f"{path}: not a readable Parquet file ({first_line(error)}); write it again"
        ) from error
    if set(table.index.names) - {None, *table.columns}:  # pandas keeps an index by name
        table = table.reset_index()
    table.columns = [clean_name(str(name)) for name in table.columns]
    check_columns(path, list(table.columns), needed)
    if table.empty:
        raise UserError(f"{path}: no rows")
    wanted = [name for name in table.columns if name in COLUMNS or name in needed]
    texts = {name: _as_texts(path, name, table[name]) for name in wanted}
    others = {name: "" for name in table.columns if name not in texts}
    records = [
        repaired_record(
            path, number, {name: values[number - 2] for name, values in texts.items()} | others
        )
        for number in range(2, len(table) + 2)
    ]
    return Sheet(records, tuple(table.columns))


def _as_texts(path: Path, column: str, values: Iterable[object]) -> list[str]:
    texts = []
    for row, value in enumerate(values, start=2):
        try:
            texts.append(_as_text(value))
        except (TypeError, UnicodeDecodeError) as error:
            raise UserError(
                f"{path}, row {row}: {column} is no text or number ({error}); write one value in"
                " each row"
            ) from error
    return texts


def _as_text(value: object) -> str:
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if not pd.api.types.is_scalar(value):
        raise TypeError(f"a {type(value).__name__}")
    if pd.isna(value):
        return ""
    if (
        isinstance(value, float) and value.is_integer()
    ):  # a whole-number column with gaps arrives as floats
        return str(int(value))
    return str(value)

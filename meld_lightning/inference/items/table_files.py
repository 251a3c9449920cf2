"""Reads a table of items: a CSV or Parquet file with one row per item and no labels.

Columns, of which the file has at least one of `clip`, `audio` and `text`:

- clip, audio: paths relative to the table's folder; `audio` replaces the clip's own sound
- text, speaker, dialogue: the utterance, its speaker, and its conversation, which consists of the
  rows with the same value in the order of the file
- id: unique; without this column, rows are named by their numbers in a spreadsheet ("row 2")

Other columns are ignored. Reads these tables and checks that the files they name exist. Used by
table.py.
"""

import logging
import os
from pathlib import Path
from typing import Any

from meld_lightning.corpus.readers.clip_files import Finder
from meld_lightning.corpus.readers.csv_records import Record, cleaned
from meld_lightning.corpus.readers.manifest_sheets import read_rows
from meld_lightning.corpus.readers.values import filled, optional
from meld_lightning.errors import UserError, near_miss
from meld_lightning.inference.items.texts import checked_text

log = logging.getLogger(__name__)

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
CONTENT = ("clip", "audio", "text")
KNOWN = (*CONTENT, "id", "speaker", "dialogue")


def is_table(path: Path) -> bool:
    """Whether `path` has the suffix of a table."""
    return path.suffix.lower() in SUFFIXES


def table_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of the table `path`: dicts with the columns of table.py.

    Rows keep files that cannot be read; decoding gives the reason. Raises UserError if the table
    cannot be read, if an id is empty or occurs twice, if a text is too long, or if no file that the
    table names can be read and no row has a text.
    """
    sheet = read_rows(path, ())
    if not any(name in sheet.columns for name in CONTENT):
        near = next(filter(None, (near_miss(name, sheet.columns) for name in CONTENT)), "")
        raise UserError(
            f"{path}: no column clip, audio or text{near}; columns found:"
            f" {', '.join(name[:40] for name in sheet.columns[:20])}"
        )
    for line in sheet.assumed:
        log.info("assumed: %s", line)
    if others := [name for name in sheet.columns if name not in KNOWN]:
        log.info("%s: columns that are not used: %s", path.name, ", ".join(others[:20]))
    records = [
        Record(one.file, one.row, {"text": "", **one.fields}, one.repaired) for one in sheet.records
    ]
    rows: dict[str, Record] = {}
    found: list[dict[str, Any]] = []
    finder, missing = Finder(), list[str]()
    for record in cleaned(records, ("id", "speaker", "dialogue"), "text"):
        row = _row(record, finder, missing, "id" in sheet.columns)
        if row["id"] in rows:
            raise UserError(
                f"{record.where}: id {row['id']!r} is already in row {rows[row['id']].row}; ids"
                " must be unique"
            )
        rows[row["id"]] = record
        found.append(row)
    _refuse_without_files(path, found, missing)
    return found


def _row(record: Record, finder: Finder, missing: list[str], has_id: bool) -> dict[str, Any]:
    text = checked_text(record.fields["text"], f"{record.where}, text")
    return {
        "id": filled(record, "id") if has_id else f"row {record.row}",
        "clip": _file(record, "clip", finder, missing),
        "audio": _file(record, "audio", finder, missing),
        "text": text if text.strip() else None,
        "speaker": optional(record, "speaker"),
        "dialogue": optional(record, "dialogue"),
    }


def _file(record: Record, column: str, finder: Finder, missing: list[str]) -> str | None:
    value = optional(record, column)
    if value is None:
        return None
    path = record.file.parent / os.path.expanduser(value)  # noqa: PTH111 -- see table.py
    found, reason = finder.find(path)
    if found is None:
        missing.append(f"{value} ({reason})")
    return str(found or path)


def _refuse_without_files(path: Path, rows: list[dict[str, Any]], missing: list[str]) -> None:
    """Raises UserError if no file can be read and no row has a text; warns of unreadable files."""
    named = sum(row[column] is not None for row in rows for column in ("clip", "audio"))
    if not missing:
        return
    if len(missing) == named and not any(row["text"] for row in rows):
        raise UserError(
            f"{path}: none of the {named} files that it names can be read, such as {missing[0]};"
            f" paths are relative to {path.parent}"
        )
    log.warning(
        "%s: %d of %d files cannot be read, such as %s", path.name, len(missing), named, missing[0]
    )

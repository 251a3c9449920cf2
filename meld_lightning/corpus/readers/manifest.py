"""The layout "manifest": your own CSV or Parquet file with one row per utterance and any label set.

Required columns: id, text, emotion. Optional: split (train, val or dev, test), unless corpus.split
says how to make one; speaker, dialogue, utterance, sentiment; clip and audio (paths relative to the
manifest's folder); start and end (seconds or h:mm:ss,mmm). corpus.columns and corpus.labels say
which columns and labels have other names. corpus.test names a second such file whose rows are all
test, or val and test with corpus.test_by. Reads these files; used by load.py.
"""

import os
from pathlib import Path

import pandas as pd

from meld_lightning.corpus.labels import EMOTIONS, SENTIMENTS, ordered
from meld_lightning.corpus.look_alikes import shape
from meld_lightning.corpus.readers.clip_files import Finder, MissingFile
from meld_lightning.corpus.readers.csv_records import Record
from meld_lightning.corpus.readers.layout import Found, ReadRequest
from meld_lightning.corpus.readers.manifest_names import rename_labels
from meld_lightning.corpus.readers.manifest_sheets import ManifestSheet, read_sheet
from meld_lightning.corpus.readers.manifest_splits import (
    coarsest_units,
    shared_with_test,
    split_beside,
    split_records,
    split_second,
)
from meld_lightning.corpus.readers.times import comma_is_decimal, seconds
from meld_lightning.corpus.readers.values import filled, optional, whole
from meld_lightning.corpus.table import typed
from meld_lightning.errors import UserError

VERSION = 3


def read(request: ReadRequest) -> Found:
    """Every row of the manifest, in file order, followed by those of the test manifest, if any."""
    if request.realignment is not None:
        raise UserError("corpus.realignment applies to corpus=meld only: leave it out")
    sheets = [read_sheet(request.root, "corpus.root", request.columns)]
    records, left_out = sheets[0].records, 0
    assumed = list(sheets[0].assumed)
    if request.test is None:
        splits = split_records(records, request)
    else:
        sheets.append(read_sheet(request.test, "corpus.test", request.columns))
        others, before = sheets[1].records, len(records)
        records, splits = split_beside(others, records, request)
        left_out = before - len(records)
        assumed += [*sheets[1].assumed, *shared_with_test(others, records, request)]
        records, splits = [*records, *others], [*splits, *split_second(others, request)]
    records = rename_labels(records, request.labels)
    _check_spelling(records)
    missing: list[MissingFile] = []
    rows = _rows(records, splits, _commas(sheets), missing)
    for row, unit in zip(rows, coarsest_units(records, splits, request.split), strict=True):
        row["unit"] = unit
    table = typed(pd.DataFrame(rows))
    return Found(
        name=request.root.stem,
        folder=request.root.parent,
        table=table,
        emotions=ordered(table["emotion"], EMOTIONS),
        sentiments=ordered(table["sentiment"].dropna(), SENTIMENTS),
        sources=tuple(sheet.path for sheet in sheets),
        repaired=tuple(record.repaired for record in records),
        cleaned=tuple(record.cleaned for record in records),
        missing=tuple(missing),
        ignored_columns=sheets[0].ignored,
        left_out=left_out,
        assumed=tuple(assumed),
    )


def _commas(sheets: list[ManifestSheet]) -> dict[Path, bool]:
    """Whether commas are decimal in the times of each file."""
    return {
        sheet.path: comma_is_decimal(sheet.records, ("start", "end"), sheet.separator)
        for sheet in sheets
    }


def _rows(
    records: list[Record],
    splits: list[str],
    commas: dict[Path, bool],
    missing: list[MissingFile],
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    first: dict[object, Record] = {}
    turns: dict[str, int] = {}
    finder = Finder()
    for record, split in zip(records, splits, strict=True):
        row = _row(record, split, turns, commas[record.file])
        for column in ("clip", "audio"):
            row[column] = _path(record, column, finder, missing)
        if row["key"] in first:
            raise _doubled(record, first[row["key"]])
        first[row["key"]] = record
        rows.append(row)
    return rows


def _doubled(record: Record, other: Record) -> UserError:
    where = f"row {other.row}" + ("" if other.file == record.file else f" of {other.file.name}")
    one, two = record.source_id.strip(), other.source_id.strip()
    if one == two:
        return UserError(f"{record.where}: id {one!r} is already in {where}; ids must be unique")
    return UserError(
        f"{record.where}: id {one!a} looks the same as {two!a} in {where}; ids must differ in"
        " more than invisible characters or composed accents"
    )


def _check_spelling(records: list[Record]) -> None:
    """Raises UserError for two labels that differ only in case or in letters that look the same:
    one of them is misspelt."""
    seen: dict[str, Record] = {}
    for record in records:
        label = filled(record, "emotion")
        first = seen.setdefault(shape(label), record)
        other = filled(first, "emotion")
        if other == label:
            continue
        if other.casefold() == label.casefold():
            said = f"{label!r} and {other!r} (row {first.row}) differ only in case"
        else:
            said = f"{label!a} and {other!a} (row {first.row}) look the same, as {label}"
        raise UserError(f"{record.where}: emotion {said}; spell them the same way")


def _row(
    record: Record, split: str, turns: dict[str, int], decimal_comma: bool
) -> dict[str, object]:
    dialogue, speaker = optional(record, "dialogue"), optional(record, "speaker")
    utterance = None
    if dialogue is not None:  # without numbers, the turns are in the order of the file
        turns[dialogue] = turns.get(dialogue, -1) + 1
        numbered = optional(record, "utterance") is not None
        utterance = whole(record, "utterance") if numbered else turns[dialogue]
    return {
        "key": filled(record, "id"),
        "split": split,
        "dialogue_id": dialogue,
        "utterance_id": utterance,
        "speaker": speaker,
        "text": record.fields["text"],
        "emotion": filled(record, "emotion"),
        "sentiment": optional(record, "sentiment"),
        "start_s": seconds(record, "start", decimal_comma),
        "end_s": seconds(record, "end", decimal_comma),
        "season": None,
        "episode": None,
    }


def _path(record: Record, column: str, finder: Finder, missing: list[MissingFile]) -> str | None:
    value = optional(record, column)
    if value is None:
        return None
    # not Path.expanduser, which raises on a name like ~a.wav
    path, reason = finder.find(record.file.parent / os.path.expanduser(value))  # noqa: PTH111
    if path is None:
        missing.append(MissingFile(filled(record, "id"), column, value, reason))
        return None
    return str(path)

"""Reads CSV files into records and repairs legacy characters.

Reads the corpus's CSV files; used by the readers. Rows are numbered as in a spreadsheet: the header
is row 1.
"""

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from meld_lightning.corpus.look_alikes import clean_name, clean_text
from meld_lightning.corpus.readers.csv_text import (
    SEPARATORS,
    blanks_precede_quotes,
    decode,
    find_separator,
    is_blank,
    quotes_are_text,
    rows_of,
    split_off_separator,
)
from meld_lightning.errors import UserError, near_miss

_C1 = re.compile("[\u0080-\u009f]")


@dataclass(frozen=True)
class Record:
    """One row of a file.

    fields: by column name. repaired: number of characters repaired. cleaned: whether a name or text
    was replaced by another spelling that looks the same. source_id: the id as the file spells it.
    """

    file: Path
    row: int
    fields: dict[str, str]
    repaired: int = 0
    cleaned: bool = False
    source_id: str = ""

    @property
    def where(self) -> str:
        return f"{self.file}, row {self.row}"


@dataclass(frozen=True)
class Sheet:
    """The rows of one file, and how it was read.

    columns: names of the columns, in order. assumed: what was assumed to read it, in words.
    """

    records: list[Record]
    columns: tuple[str, ...]
    separator: str = ","
    assumed: tuple[str, ...] = ()


def read_records(
    path: Path, required: Collection[str] | Mapping[str, str], used: Collection[str] | None = None
) -> Sheet:
    """The rows of the CSV file `path`; UserError if it is not a complete CSV file with the
    `required` columns (with a mapping: column -> what else to do where it is missing).

    used: the columns that are read if they are there; None: all. Only others may occur twice.

    Empty rows and empty columns, which spreadsheets add, are left out.
    """
    text, encoding = decode(path)
    text, stated = split_off_separator(text)
    if not text.strip():
        raise _empty(path, required)
    separator = stated or find_separator(text, required)
    literal = quotes_are_text(text, separator)
    blanks = blanks_precede_quotes(text, separator)
    rows = rows_of(text, separator, not literal, blanks)
    numbered = _numbered_rows(path, rows, 2 if stated else 1)
    header = [clean_name(name) for name in numbered[0][1]]
    names, unnamed = _named(header, [row for _, row in numbered[1:]])
    check_columns(path, [name for name in names if name], required, used)
    filled = [place for place, name in enumerate(names) if name]
    if not filled:
        raise _empty(path, required, "no column has a name")
    least = max(filled) + 1
    records = []
    for number, row in numbered[1:]:
        if len(row) < least or not is_blank(row[len(header) :]):
            raise UserError(
                f"{path}, row {number}: {len(row)} fields where {len(header)} were expected: a"
                " truncated file, or a separator outside quotes; download it again or correct the"
                " row"
            )
        fields = {names[place]: row[place] for place in filled}
        records.append(repaired_record(path, number, fields))
    if not records:
        raise UserError(
            f"{path}: no rows after the header, expected one row per utterance; save or download"
            " it again, or give another file"
        )
    assumed = _assumptions(path, encoding, separator, literal, blanks, unnamed)
    return Sheet(records, tuple(names[place] for place in filled), separator, assumed)


def _numbered_rows(
    path: Path, rows: Iterator[list[str]], first: int
) -> list[tuple[int, list[str]]]:
    """Every row that is not blank, with its number; the header is the first."""
    numbered: list[tuple[int, list[str]]] = []
    number = first - 1
    try:
        for number, row in enumerate(rows, start=first):
            if not is_blank(row):
                numbered.append((number, row))
    except csv.Error as error:
        raise UserError(
            f"{path}, row {number + 1}: not valid CSV ({error}): an unbalanced quote or a"
            " truncated file; download it again or correct the row"
        ) from error
    if not numbered:
        raise _empty(path, ())
    return numbered


def _named(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], int]:
    """The name of each column, and the number of empty ones. A column without a name and content
    keeps no name; one without a name but with content is named after its place."""
    filled = {place for row in rows for place, cell in enumerate(row) if cell.strip()}
    names = [
        name or (f"column {place + 1} (no name)" if place in filled else "")
        for place, name in enumerate(header)
    ]
    return names, names.count("")


def _assumptions(
    path: Path, encoding: str | None, separator: str, literal: bool, blanks: bool, unnamed: int
) -> tuple[str, ...]:
    found = []
    if encoding is not None:
        found.append(f"the encoding is {encoding}")
    if separator != ",":
        found.append(f"columns are separated by {SEPARATORS.get(separator, repr(separator))}")
    if literal:
        found.append("quotes are part of the texts")
    if blanks:
        found.append("blanks before quotes are left out")
    if unnamed:
        found.append(f"{unnamed} empty columns without a name are left out")
    return (f"{path.name}: {'; '.join(found)}",) if found else ()


def _empty(path: Path, required: Collection[str], problem: str = "the file is empty") -> UserError:
    header = f"a header with {', '.join(required)}" if required else "a header"
    return UserError(
        f"{path}: {problem}, expected {header} and one row per utterance; save or download"
        " it again, or give another file"
    )


def repaired_record(path: Path, number: int, fields: dict[str, str]) -> Record:
    """The Record of row `number`, its C1 control characters repaired and counted."""
    found = sum(len(_C1.findall(value)) for value in fields.values())
    return Record(path, number, {name: repair(value) for name, value in fields.items()}, found)


def cleaned(records: Sequence[Record], names: Sequence[str], text: str) -> Iterator[Record]:
    """The records with the columns `names` and `text` in one spelling (see look_alikes)."""
    for record in records:
        fields = dict(record.fields)
        for name in names:
            if name in fields:
                fields[name] = clean_name(fields[name])
        fields[text] = clean_text(fields[text])
        changed = any(fields[name].strip() != record.fields[name].strip() for name in fields)
        yield replace(record, fields=fields, cleaned=changed)


def check_columns(
    path: Path,
    header: Sequence[str],
    required: Collection[str] | Mapping[str, str],
    used: Collection[str] | None = None,
) -> None:
    """Raises UserError if a column of `required` is missing or one of `used` (None: any) occurs
    twice."""
    doubled = sorted({name for name in header if header.count(name) > 1})
    doubled = [name for name in doubled if used is None or name in used or name in required]
    if doubled:
        raise UserError(f"{path}: column {doubled[0]!r} occurs twice; keep one")
    for name in required:
        if name not in header:
            shown = ", ".join(name[:40] for name in header[:20])
            remedy = required[name] if isinstance(required, Mapping) else ""
            raise UserError(
                f"{path}: no column {name!r}{near_miss(name, header)}; columns found: {shown}"
                f"{remedy}"
            )


def repair(text: str) -> str:
    """Replaces each C1 control character (U+0080-U+009F) by the cp1252 character it stands for.

    Older MELD copies have U+0092 for an apostrophe. Some of their rows contain U+2019 too, so that
    re-encoding the whole string would fail. The five code points that are undefined in cp1252 are
    kept.
    """
    return _C1.sub(
        lambda match: bytes([ord(match[0])]).decode("cp1252", errors="ignore") or match[0], text
    )


def controls_left(text: str) -> bool:
    """Whether `text` still contains a C1 control character after repair()."""
    return _C1.search(text) is not None

"""Reads CSV files into records, repairs legacy characters, and checks values with errors that name
file and row.

Reads the corpus's CSV files; used by the readers. Rows are numbered as in a spreadsheet: the header
is row 1.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meld_lightning.errors import UserError, near_miss

# what spreadsheets put between columns instead of commas, and its name
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_C1 = re.compile("[\u0080-\u009f]")
_TIME = re.compile(r"(\d{1,2}):([0-5]?\d):([0-5]?\d)[,.](\d{1,3})")


@dataclass(frozen=True)
class Record:
    """One row of a CSV file: `fields` by column name, and the number of characters `repaired`."""

    file: Path
    row: int
    fields: dict[str, str]
    repaired: int = 0

    @property
    def where(self) -> str:
        return f"{self.file}, row {self.row}"


def read_records(path: Path, required: Sequence[str]) -> list[Record]:
    """The rows of the CSV file `path`; UserError if it is not a complete UTF-8 CSV file with the
    `required` columns."""
    text = _decode(path)
    if not text.strip():
        raise _empty(path, required)
    _check_separator(path, text.lstrip().partition("\n")[0])
    # Not str.splitlines(): it also splits at U+0085, which occurs inside utterances of older MELD
    # copies.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            rows.append(row)
    except csv.Error as error:
        raise UserError(
            f"{path}, row {len(rows) + 1}: not valid CSV ({error}): an unbalanced quote or a"
            " truncated file; download it again or correct the row"
        ) from error
    header = [name.strip() for name in rows[0]]
    check_columns(path, header, required)
    records = []
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != len(header):
            raise UserError(
                f"{path}, row {number}: {len(row)} fields where {len(header)} were expected: a"
                " truncated file, or a comma outside quotes; download it again or correct the row"
            )
        records.append(repaired_record(path, number, dict(zip(header, row, strict=True))))
    if not records:
        raise UserError(
            f"{path}: no rows after the header, expected one row per utterance; save or download"
            " it again, or give another file"
        )
    return records


def _empty(path: Path, required: Sequence[str]) -> UserError:
    return UserError(
        f"{path}: the file is empty, expected a header with {', '.join(required)} and one row per"
        " utterance; save or download it again, or give another file"
    )


def _check_separator(path: Path, header: str) -> None:
    """UserError if the columns of this first line are separated by something else than commas."""
    for separator, name in SEPARATORS.items():
        if separator in header and "," not in header:
            raise UserError(
                f"{path}: columns are separated by {name}, expected commas; save the file again as"
                " CSV with commas"
            )


def _decode(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    if b"\0" in raw:
        row = raw[: raw.index(b"\0")].count(b"\n") + 1
        raise UserError(
            f"{path}, row {row}: contains NUL bytes, so it is a damaged download or not UTF-8"
            " text; download it again or save it as UTF-8"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, row {row}: byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from error


def repaired_record(path: Path, number: int, fields: dict[str, str]) -> Record:
    """The Record of row `number`, its C1 control characters repaired and counted."""
    found = sum(len(_C1.findall(value)) for value in fields.values())
    return Record(path, number, {name: repair(value) for name, value in fields.items()}, found)


def check_columns(path: Path, header: Sequence[str], required: Sequence[str]) -> None:
    """Raises UserError if a column of `required` is missing or a column name occurs twice."""
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise UserError(f"{path}: column {doubled[0]!r} occurs twice; keep one")
    for name in required:
        if name not in header:
            shown = ", ".join(name[:40] for name in header[:20])
            raise UserError(
                f"{path}: no column {name!r}{near_miss(name, header)}; columns found: {shown}"
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


def optional(record: Record, column: str) -> str | None:
    """The value without surrounding blanks; None if it is empty or there is no such column."""
    return record.fields.get(column, "").strip() or None


def filled(record: Record, column: str) -> str:
    """The value without surrounding blanks; UserError if it is empty."""
    value = optional(record, column)
    if value is None:
        raise UserError(f"{record.where}: {column} is empty; fill it in or remove the row")
    return value


def milliseconds(record: Record, column: str) -> int:
    """A time such as `00:16:16,059` or `0:10:44,769` in milliseconds; UserError if it is not one.

    The digits after the comma are a decimal fraction: three rows of MELD have times like
    `00:06:47,28`, and their clips end at 47.28 s.
    """
    match = _TIME.fullmatch(record.fields[column].strip())
    if match is None:
        raise UserError(
            f"{record.where}: {column} {record.fields[column]!r} is not a time like 00:16:16,059;"
            " correct the row"
        )
    hours, minutes, seconds = (int(match[group]) for group in (1, 2, 3))
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int(match[4].ljust(3, "0"))


def whole(record: Record, column: str) -> int:
    """A whole number >= 0; UserError if it is not one."""
    value = record.fields[column].strip()
    if not (value.isascii() and value.isdigit()):
        raise UserError(
            f"{record.where}: {column} {value!r} is not a whole number >= 0; correct the row"
        )
    return int(value)


def choice(record: Record, column: str, allowed: Sequence[str], fold_case: bool = False) -> str:
    """One of `allowed`, converted to lower case if `fold_case`; UserError with the nearest match if
    it is not one."""
    value = record.fields[column].strip()
    value = value.lower() if fold_case else value
    if value not in allowed:
        raise UserError(
            f"{record.where}: {column} {value!r} is unknown{near_miss(value, allowed)}; "
            f"expected one of {', '.join(allowed)}"
        )
    return value

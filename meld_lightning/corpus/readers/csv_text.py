"""Decodes CSV files and finds what separates their columns, whatever spreadsheet wrote them.

Reads CSV files; used by csv_records.py. UTF-8, UTF-16 and UTF-32 are recognised; Windows-1252 (and
so Latin-1) is read where nothing speaks against it. Everything else is refused.
"""

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from meld_lightning.corpus.look_alikes import clean_name
from meld_lightning.errors import UserError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_MARKS = {  # the longer marks first: one begins with another
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .ods are ZIP archives; .xls
_EXCEL_SEPARATOR = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)  # a first line that Excel understands
_PARTLY_UTF8 = re.compile(r"[^\x00-\x7f\udc80-\udcff]")  # with undecodable bytes as surrogates
# Text of another 8-bit encoding looks like this in Windows-1252: three accented letters in a row,
# or a word of nothing else (Cyrillic, Greek), a capital or an opening quote after a small letter
# (Mac Roman, DOS), a symbol within a word (Central European), an Icelandic letter (more often
# Turkish) or the sign for any currency (Latin-9's euro).
_NOT_WESTERN = re.compile(
    r"[^\W\d_a-zA-Z]{3}|\b[^\W\d_a-zA-Z]{2,}\b"
    r"|(?<=[a-z\xdf-\xff])[\u201a\u0192\u201e\u2020\u2021\u02c6\u02dc\u0160\u0152\u017d\u0178]"
    r"|(?<=[a-z\xdf-\xff])[\u2030\u2039\u203a\u2022\xa1-\xac\xae-\xb6\xb8-\xbf\xd7\xf7](?=[a-z])"
    r"|[\xd0\xdd\xde\xf0\xfd\xfe\xa4]"
)


def decode(path: Path) -> tuple[str, str | None]:
    """The text of a CSV file, and its encoding where that is not UTF-8; UserError if the encoding
    is unclear or the file is not text."""
    raw = _content(path)
    for mark, name in _MARKS.items():
        if raw.startswith(mark):
            return _checked(path, raw, name), name
    if wide := _wide_without_mark(raw):
        return _checked(path, raw, wide), wide
    if b"\0" in raw:
        raise _nul(path, raw[: raw.index(b"\0")].count(b"\n") + 1)
    try:
        return raw.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        if (text := _western(raw)) is not None:
            return text, "Windows-1252"
        row = raw[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, row {row}: byte 0x{raw[error.start]:02x} is not UTF-8, and which other"
            " encoding it belongs to is unclear; save the file as UTF-8"
        ) from error


def split_off_separator(text: str) -> tuple[str, str | None]:
    """The text without Excel's first line `sep=;`, and the separator that this line names."""
    found = _EXCEL_SEPARATOR.match(text)
    return (text[found.end() :], found[1]) if found else (text, None)


def find_separator(text: str, required: Collection[str]) -> str:
    """The separator with which the header has all `required` columns, if any are; else the one with
    which it has the most columns."""
    headers = {one: _header(text, one) for one in SEPARATORS}
    for separator, header in headers.items():
        if required and all(name in header for name in required):
            return separator
    return max(headers, key=lambda one: len(headers[one]))  # the first of equals: commas


def rows_of(
    text: str, separator: str, quotes: bool = True, blanks: bool = False
) -> Iterator[list[str]]:
    """The rows of a CSV file. Raises csv.Error where it is not valid.

    quotes: whether quotes hold cells together; else they are characters like any other.
    blanks: whether blanks may precede a cell and its quotes.

    Lines are not split by str.splitlines(): it also splits at U+0085, which occurs inside
    utterances of older MELD copies. Cells may be longer than csv's limit of 131,072 characters.
    """
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield from csv.reader(
            io.StringIO(text, newline=""),
            delimiter=separator,
            strict=True,
            quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
            skipinitialspace=blanks,
        )
    finally:
        csv.field_size_limit(limit)


def quotes_are_text(text: str, separator: str) -> bool:
    """Whether quotes can only be part of the texts: columns are separated by tabs or bars, quotes
    that hold cells together are not balanced, and without them every row has the same length."""
    if separator not in ("\t", "|"):
        return False
    try:
        for _ in rows_of(text, separator):
            pass
    except csv.Error:
        return _is_even(rows_of(text, separator, quotes=False))
    return False


def blanks_precede_quotes(text: str, separator: str) -> bool:
    """Whether quotes hold cells together only where the blanks before them are skipped: every row
    then has the same length, and otherwise not."""
    if f'{separator} "' not in text or _is_even(rows_of(text, separator)):
        return False
    return _is_even(rows_of(text, separator, blanks=True))


def _is_even(rows: Iterator[list[str]]) -> bool:
    """Whether all rows that are not blank are valid and have the same length."""
    try:
        return len({len(row) for row in rows if not is_blank(row)}) == 1
    except csv.Error:
        return False


def is_blank(row: Sequence[str]) -> bool:
    """Whether no cell of the row has any content."""
    return not any(cell.strip() for cell in row)


def _header(text: str, separator: str) -> list[str]:
    try:
        first = next((row for row in rows_of(text, separator) if not is_blank(row)), [])
    except csv.Error:  # quotes that fit another separator
        first = []
    return [clean_name(name) for name in first]


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    if raw.startswith(_WORKBOOKS):
        raise UserError(
            f"{path}: is an Excel or OpenDocument workbook, expected CSV; open it and save the"
            " sheet as CSV (UTF-8)"
        )
    if raw.startswith(b"PAR1"):
        raise UserError(f"{path}: is a Parquet file; give it a name that ends in .parquet")
    return raw


def _checked(path: Path, raw: bytes, encoding: str) -> str:
    try:
        text = raw.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not valid {encoding} ({error.reason}): a truncated or damaged file; save it"
            " again as UTF-8"
        ) from error
    if "\0" in text:
        raise _nul(path, text[: text.index("\0")].count("\n") + 1)
    return text


def _wide_without_mark(raw: bytes) -> str | None:
    """The encoding of UTF-16 without a byte order mark, known by its header of ASCII characters."""
    start = raw[:64]
    if len(start) >= 8 and len(raw) % 2 == 0:
        if not any(start[1::2]) and all(start[::2]):
            return "UTF-16-LE"
        if not any(start[::2]) and all(start[1::2]):
            return "UTF-16-BE"
    return None


def _western(raw: bytes) -> str | None:
    """The text if it is Windows-1252 beyond reasonable doubt."""
    if _PARTLY_UTF8.search(raw.decode("utf-8", errors="surrogateescape")):
        return None  # mixed encodings, or a damaged file
    try:
        text = raw.decode("cp1252")
    except UnicodeDecodeError:
        return None
    return None if _NOT_WESTERN.search(text) else text


def _nul(path: Path, row: int) -> UserError:
    return UserError(
        f"{path}, row {row}: contains NUL bytes, so it is a damaged download or not UTF-8 text;"
        " download it again or save it as UTF-8"
    )

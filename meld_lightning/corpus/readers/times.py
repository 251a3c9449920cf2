"""Reads times: `0:16:16,059`, `0:00:10`, or seconds with a decimal point or comma.

Reads and writes nothing; used by the readers.
"""

import math
import re
from collections.abc import Iterable, Sequence

from meld_lightning.corpus.readers.csv_records import Record
from meld_lightning.corpus.readers.values import optional
from meld_lightning.errors import UserError

# hours:minutes:seconds, with the days that pandas writes before them
_TIME = re.compile(r"(?:(\d{1,4}) days? )?(\d{1,2}):([0-5]?\d):([0-5]?\d)(?:[,.](\d{1,9}))?")
_TWO_PARTS = re.compile(r"\d+:\d+([,.]\d+)?")
_COMMA_OR_THOUSAND = re.compile(r"[1-9]\d{0,2},\d{3}")  # 1,500: a fraction, or a thousand
_POINT_OR_THOUSAND = re.compile(r"[1-9]\d{0,2}\.\d{3}")
_NUMBER = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?|\.\d+")
_COMMA = re.compile(r"\d+,\d+")
_BOTH = {  # thousands and a fraction
    re.compile(r"\d{1,3}(\.\d{3})+,\d+"): (".", ","),
    re.compile(r"\d{1,3}(,\d{3})+\.\d+"): (",", "."),
}


def milliseconds(record: Record, column: str) -> int:
    """A time such as `00:16:16,059`, `0:10:44.769` or `0:00:10` in milliseconds; UserError if it is
    not one.

    The digits after the comma are a decimal fraction: three rows of MELD have times like
    `00:06:47,28`, and their clips end at 47.28 s.
    """
    value = record.fields[column].strip()
    match = _TIME.fullmatch(value)
    if match is None:
        meant = (
            ""
            if not _TWO_PARTS.fullmatch(value)
            else (" (minutes and seconds, or hours and minutes?)")
        )
        raise UserError(
            f"{record.where}: {column} {value!r}{meant} is not a time like 00:16:16,059; correct"
            " the row"
        )
    days, hours, minutes, seconds = (int(match[group] or 0) for group in (1, 2, 3, 4))
    fraction = round(int(match[5]) * 1000 / 10 ** len(match[5])) if match[5] else 0
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000 + fraction


def comma_is_decimal(records: Iterable[Record], columns: Sequence[str], separator: str) -> bool:
    """Whether a comma in these columns can only be a decimal comma: columns are separated by
    semicolons, as spreadsheets do where commas are decimal, or a value such as `12,5` shows it."""
    values = [
        value
        for record in records
        for column in columns
        if (value := optional(record, column)) is not None and "," in value and ":" not in value
    ]
    if not values:
        return False
    return separator == ";" or any(
        _COMMA.fullmatch(value) and not _COMMA_OR_THOUSAND.fullmatch(value) for value in values
    )


def seconds(record: Record, column: str, decimal_comma: bool) -> float:
    """A time or a number of seconds as seconds; NaN if it is empty; UserError if it is neither, or
    could mean two things.

    decimal_comma: what comma_is_decimal found for the file.
    """
    value = optional(record, column)
    if value is None:
        return math.nan
    if ":" in value:
        return milliseconds(record, column) / 1000
    doubtful = _POINT_OR_THOUSAND if decimal_comma else _COMMA_OR_THOUSAND
    if doubtful.fullmatch(value):
        raise UserError(
            f"{record.where}: {column} {value!r} can be a fraction or thousands; write it with a"
            " decimal point and without separators of thousands, in this file throughout"
        )
    for pattern, (thousands, decimal) in _BOTH.items():
        if pattern.fullmatch(value):
            value = value.replace(thousands, "").replace(decimal, ".")
    value = value.replace(",", ".") if _COMMA.fullmatch(value) else value
    number = float(value) if _NUMBER.fullmatch(value) else math.inf
    if not number < math.inf:
        raise UserError(
            f"{record.where}: {column} {value!r} is neither seconds nor a time like 00:16:16,059;"
            " correct the row"
        )
    return number

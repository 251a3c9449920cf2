"""Checks the values of a record's fields, with errors that name file and row.

Reads and writes nothing; used by the readers.
"""

import re
from collections.abc import Sequence

from meld_lightning.corpus.look_alikes import clean_name
from meld_lightning.corpus.readers.csv_records import Record
from meld_lightning.errors import UserError, near_miss

_WHOLE = re.compile(r"[0-9]+(\.0+)?")  # pandas writes a column with gaps as 1.0, 2.0


def optional(record: Record, column: str) -> str | None:
    """The value without surrounding blanks; None if it is empty or there is no such column."""
    return record.fields.get(column, "").strip() or None


def filled(record: Record, column: str) -> str:
    """The value without surrounding blanks; UserError if it is empty."""
    value = optional(record, column)
    if value is None:
        raise UserError(f"{record.where}: {column} is empty; fill it in or remove the row")
    return value


def whole(record: Record, column: str) -> int:
    """A whole number >= 0; UserError if it is not one."""
    value = record.fields[column].strip()
    if not _WHOLE.fullmatch(value):
        raise UserError(
            f"{record.where}: {column} {value!r} is not a whole number >= 0; correct the row"
        )
    return int(value.partition(".")[0])


def choice(record: Record, column: str, allowed: Sequence[str], fold_case: bool = False) -> str:
    """One of `allowed`, converted to lower case if `fold_case`; UserError with the nearest match if
    it is not one."""
    value = clean_name(record.fields[column])
    value = value.lower() if fold_case else value
    if value not in allowed:
        raise UserError(
            f"{record.where}: {column} {value!r} is unknown{near_miss(value, allowed)}; "
            f"expected one of {', '.join(allowed)}"
        )
    return value

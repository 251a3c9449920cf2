"""Columns and labels of a manifest that have other names than ours (corpus.columns and
corpus.labels).

Reads and writes nothing; used by manifest.py and manifest_sheets.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from meld_lightning.corpus.look_alikes import clean_name
from meld_lightning.corpus.readers.csv_records import Record
from meld_lightning.errors import UserError, near_miss

REQUIRED = ("id", "text", "emotion")
COLUMNS = (
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
# cleaned of what cannot be seen: all but the utterance and the names of files
NAMES = tuple(name for name in COLUMNS if name not in ("text", "clip", "audio"))


def needed_columns(columns: Mapping[str, str]) -> dict[str, str]:
    """The columns that the file must have, each with what to do where it is missing.

    columns: our name -> the file's name, where they differ (corpus.columns).
    """
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise UserError(
            f"corpus.columns.{unknown[0]}: no such column{near_miss(unknown[0], COLUMNS)};"
            f" expected one of {', '.join(COLUMNS)}"
        )
    needed = {
        theirs: f"; correct corpus.columns.{ours}={theirs}" for ours, theirs in columns.items()
    }
    for name in REQUIRED:
        if name not in columns:
            needed[name] = f"; if it has another name there, add corpus.columns.{name}=NAME"
    return needed


def our_fields(fields: Mapping[str, str], columns: Mapping[str, str]) -> dict[str, str]:
    """A row with its columns under our names; a column that corpus.columns gives another name is
    no longer found under its own."""
    taken = set(columns.values())
    own = {name: value for name, value in fields.items() if name not in taken}
    return own | {ours: fields[theirs] for ours, theirs in columns.items()}


def ignored_columns(found: Sequence[str], columns: Mapping[str, str]) -> tuple[str, ...]:
    """The file's columns that are not used."""
    used = set(columns.values()) | (set(COLUMNS) - set(columns))
    return tuple(name for name in found if name not in used)


def rename_labels(records: Sequence[Record], labels: Mapping[str, str]) -> list[Record]:
    """The records with the file's labels replaced by those that corpus.labels gives for them; a
    label that is no emotion of the file is a sentiment.

    labels: the file's label -> ours. Two of the file's labels may become one.
    """
    if not labels:
        return list(records)
    wanted = {clean_name(theirs): clean_name(ours) for theirs, ours in labels.items()}
    found = {
        column: {record.fields.get(column, "").strip() for record in records} - {""}
        for column in ("emotion", "sentiment")
    }
    for theirs, ours in wanted.items():
        every = sorted(found["emotion"] | found["sentiment"])
        if theirs not in every:
            raise UserError(
                f"corpus.labels.{theirs}={ours}: no row has the label"
                f" {theirs!r}{near_miss(theirs, every)}; labels found: {', '.join(every[:20])}"
            )
        if not ours:
            raise UserError(f"corpus.labels.{theirs}: no name is given; expected a label")
    by_column = {
        column: {
            theirs: ours
            for theirs, ours in wanted.items()
            if theirs in labels_of and (column == "emotion" or theirs not in found["emotion"])
        }
        for column, labels_of in found.items()
    }
    return [_renamed(record, by_column) for record in records]


def _renamed(record: Record, by_column: Mapping[str, Mapping[str, str]]) -> Record:
    fields = dict(record.fields)
    for column, names in by_column.items():
        if column in fields:
            value = fields[column].strip()
            fields[column] = names.get(value, value)
    return replace(record, fields=fields)

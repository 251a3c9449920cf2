"""The splits of a manifest: those it states, or folds of whole speakers, dialogues or rows; and the
units that its splits keep whole.

Reads and writes nothing; used by manifest.py.
"""

from collections import Counter
from collections.abc import Sequence

from meld_lightning.corpus.folds import split_by_units
from meld_lightning.corpus.labels import SPLITS
from meld_lightning.corpus.readers.csv_records import Record
from meld_lightning.corpus.readers.layout import ReadRequest
from meld_lightning.corpus.readers.values import choice, filled, optional
from meld_lightning.errors import UserError

SPLIT_NAMES = {
    "train": "train",
    "val": "val",
    "dev": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
UNITS = ("speaker", "dialogue", "row")


def split_records(records: Sequence[Record], request: ReadRequest) -> list[str]:
    """The split of each row: its own where there is a column "split", else by folds of
    `request.split`."""
    path = records[0].file
    if "split" in records[0].fields:
        if request.split is not None:
            raise UserError(
                f"{path}: has a column 'split', and corpus.split={request.split} is set too; remove"
                " one of them"
            )
        return _stated(records)
    if request.split is None:
        raise UserError(
            f"{path}: no column 'split' and no corpus.split; add the column, or set corpus.split to"
            f' {", ".join(UNITS[:-1])} or {UNITS[-1]} (from Python: split="dialogue")'
        )
    return split_by_units(_units(records, request.split), request.folds, request.fold)


def split_beside(
    test: Sequence[Record], records: Sequence[Record], request: ReadRequest
) -> tuple[list[Record], list[str]]:
    """The rows of `records` whose units `test` does not contain, and the split of each, train or
    val; with request.test_by all are train."""
    split = request.split
    for record in (records[0], test[0]):
        if split is None or "split" in record.fields:
            raise UserError(
                f"{record.file}: with corpus.test, set corpus.split to the unit to keep whole in"
                f" train or val ({', '.join(UNITS)}), and remove the column 'split'"
            )
    assert split is not None
    taken = set(_units(test, split))
    left = [
        (record, unit)
        for record, unit in zip(records, _units(records, split), strict=True)
        if unit not in taken
    ]
    if not left:
        raise UserError(
            f"{records[0].file}: no rows left for train and val: every {split} is also in"
            f" {test[0].file}, which is test"
        )
    if request.test_by is not None:
        return [record for record, _ in left], ["train"] * len(left)
    units = [unit for _, unit in left]
    splits = split_by_units(units, request.folds, request.fold, held_out=False)
    return [record for record, _ in left], splits


def split_second(test: Sequence[Record], request: ReadRequest) -> list[str]:
    """The split of each row of the second manifest: test, or with request.test_by that of its fold
    of these units."""
    if request.test_by is None:
        return ["test"] * len(test)
    units = _units(test, request.test_by, "corpus.test_by", (*UNITS, "text"))
    return split_by_units(units, request.folds, request.fold, train=False)


def shared_with_test(
    test: Sequence[Record], left: Sequence[Record], request: ReadRequest
) -> list[str]:
    """A line for each kind of unit, other than corpus.split's, that test has in common with the
    rows `left` for train and val: corpus.test keeps only the units of corpus.split apart."""
    lines = []
    for column in UNITS[:-1]:
        ours = {optional(record, column) for record in test} - {None}
        theirs = {optional(record, column) for record in left} - {None}
        if both := ours & theirs:
            lines.append(
                f"test shares {len(both)} of its {len(ours)} {column}s with train and val:"
                f" corpus.split={request.split} keeps {request.split}s apart, not {column}s"
            )
    return lines


def coarsest_units(
    records: Sequence[Record], splits: Sequence[str], split: str | None
) -> list[str]:
    """The unit of each row: the largest group that contains its dialogue and that no split divides.
    Intervals and tests take units as independent, and a fusion's folds keep them whole.

    The unit is the speaker where speakers are held out: by corpus.split=speaker, or by a column
    "split" that divides no speaker, has several in each split, and whose dialogues have one speaker
    each. Otherwise it is the dialogue, named `split/dialogue`; without dialogues the speaker, else
    the row.
    """
    held_out = split == "speaker" or (split is None and _holds_speakers_out(records, splits))
    units = []
    for record, part in zip(records, splits, strict=True):
        dialogue, speaker = optional(record, "dialogue"), optional(record, "speaker")
        if dialogue is None or (held_out and speaker is not None):
            units.append(speaker or filled(record, "id"))
        else:
            units.append(f"{part}/{dialogue}")
    return units


def _holds_speakers_out(records: Sequence[Record], splits: Sequence[str]) -> bool:
    splits_of: dict[str | None, set[str]] = {}
    speakers_of: dict[str | None, set[str | None]] = {}
    for record, part in zip(records, splits, strict=True):
        speaker, dialogue = optional(record, "speaker"), optional(record, "dialogue")
        splits_of.setdefault(speaker, set()).add(part)
        speakers_of.setdefault(dialogue, set()).add(speaker)
    counts = Counter(part for parts in splits_of.values() for part in parts)
    return (
        None not in splits_of
        and all(len(parts) == 1 for parts in splits_of.values())
        and all(len(one) == 1 for name, one in speakers_of.items() if name is not None)
        and all(counts[part] > 1 for part in ("val", "test"))
    )


def _stated(records: Sequence[Record]) -> list[str]:
    """The column "split"."""
    names = tuple(SPLIT_NAMES)
    splits = [SPLIT_NAMES[choice(record, "split", names, fold_case=True)] for record in records]
    for split in SPLITS:
        if split not in splits:
            raise UserError(
                f"{records[0].file}: no row has split {split}; add some, or remove the column and"
                " set corpus.split"
            )
    return splits


def _units(
    records: Sequence[Record],
    split: str,
    key: str = "corpus.split",
    known: Sequence[str] = UNITS,
) -> list[str]:
    """The unit of each row, which has to stay in one split: its value in the column that the
    config's `key` names."""
    if split not in known:
        raise UserError(f"{key} {split!r} is unknown; expected one of {', '.join(known)}")
    column = "id" if split == "row" else split
    if column not in records[0].fields:
        found = ", ".join(records[0].fields)
        raise UserError(
            f"{records[0].file}: {key}={split} needs a column {column!r}; columns found:"
            f" {found}; if it has another name there, add corpus.columns.{column}=NAME"
        )
    return [filled(record, column) for record in records]

"""Counts the rows and clips of a copy of MELD and compares them with a complete one.

Reads the CSV files and lists the folder; writes nothing. Used by meld.py.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from meld_lightning.corpus.labels import SPLITS
from meld_lightning.corpus.readers.csv_records import read_records
from meld_lightning.corpus.readers.meld import COLUMNS
from meld_lightning.corpus.readers.meld_files import CSV_NAMES, files_below, find_clips
from meld_lightning.errors import UserError
from meld_lightning.fetch.sources import Contents


@dataclass(frozen=True)
class Missing:
    """What a copy lacks, in words; nothing where it is complete."""

    records: tuple[str, ...]
    clips: tuple[str, ...]


def count(root: Path) -> Contents:
    """The rows and clips of the MELD below `root`; zeros where there is nothing."""
    files, _ = files_below(root) if root.is_dir() else ([], [])
    found = csv_files(files)
    records = {split: _rows(found[split]) if split in found else 0 for split in SPLITS}
    clips = find_clips(root, files)
    by_split = Counter(split for split, _, _ in clips.files)
    return Contents(records, {split: by_split[split] for split in SPLITS}, len(clips.recuts))


def csv_files(files: Iterable[Path]) -> dict[str, Path]:
    """split -> its CSV file among `files`: the first one of that name."""
    found: dict[str, Path] = {}
    splits = {name: split for split, name in CSV_NAMES.items()}
    for path in files:
        if path.name in splits:
            found.setdefault(splits[path.name], path)
    return found


def _rows(path: Path) -> int:
    """The rows of a CSV file; none where it cannot be read, such as a page saved in its place."""
    try:
        return len(read_records(path, COLUMNS).records)
    except (UserError, OSError):
        return 0


def missing_from(found: Contents, complete: Contents) -> Missing:
    """What `found` has less of than a complete copy."""
    return Missing(
        _fewer("rows", found.records, complete.records),
        (
            *_fewer("clips", found.clips, complete.clips),
            *_fewer("corrected clips", {"test": found.recuts}, {"test": complete.recuts}),
        ),
    )


def _fewer(what: str, found: dict[str, int], complete: dict[str, int]) -> tuple[str, ...]:
    return tuple(
        f"{split} {found[split]} of {count} {what}"
        for split, count in complete.items()
        if found[split] < count
    )

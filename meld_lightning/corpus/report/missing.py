"""Files that a corpus names and that cannot be read: counted by pattern, and refused where they are
too many for a slip.

Reads and writes nothing. build.py adds the counts to the corpus report; study/preparation.py
refuses.
"""

from collections import Counter
from pathlib import PurePosixPath
from typing import Any

from meld_lightning.corpus.readers.layout import Found
from meld_lightning.corpus.table import Corpus
from meld_lightning.errors import UserError

TOLERATED = 0.1  # share of the files that a corpus names
_SHOWN = 3  # patterns in a message


def files_of(found: Found) -> dict[str, Any]:
    """The files that the rows name: {"named": count, "missing": count, "patterns": {"wav/*.wav":
    count of missing files}, "first": the first missing file and its reason, or None}.

    Where files were searched for, as MELD's are, each row names a clip, and those that were not
    found at all are not counted as missing: the CSV files alone are a corpus of text.
    """
    present = int(found.table[["clip", "audio"]].notna().sum().sum())
    named = present + len(found.missing) if found.clips is None else len(found.table)
    patterns = Counter(_pattern(one.named) for one in found.missing)
    first = found.missing[0] if found.missing else None
    return {
        "named": named,
        "missing": len(found.missing),
        "patterns": dict(patterns.most_common()),
        "first": first and f"{first.named} ({first.reason})",
    }


def missing_files(corpus: Corpus, allow_missing: bool) -> str | None:
    """A line about the files that are missing; None if none is. UserError if they are more than a
    tenth and allow_missing is False."""
    files = corpus.report["files"]
    if not files["missing"]:
        return None
    counts = list(files["patterns"].items())
    shown = ", ".join(f"{count} of {pattern}" for pattern, count in counts[:_SHOWN])
    line = (
        f"corpus {corpus.name}: {files['missing']} of its {files['named']} media files cannot be"
        f" read: {shown}{', ...' if len(counts) > _SHOWN else ''}; the first is"
        f" {files['first']}"
    )
    if files["missing"] > TOLERATED * files["named"] and not allow_missing:
        raise UserError(
            f"{line}; restore the files or correct their names (a manifest's are relative to its"
            " folder), or set corpus.allow_missing=true to go on without them"
        )
    return line


def _pattern(named: str) -> str:
    """The file's folder with `*` and its suffix."""
    path = PurePosixPath(named)
    return str(path.parent / f"*{path.suffix}")

"""Compares a corpus's size with that of the published one.

Reads the data that build.py makes; writes nothing. Used by markdown.py, `prepare` and `doctor`.
"""

from collections.abc import Mapping
from typing import Any


def differs_from_published(report: Mapping[str, Any]) -> str:
    """Which splits have another number of rows than the published CSV files; empty if none has, or
    nothing was published."""
    found, official = report["table_01"]["found"], report["table_01"]["official"] or {}
    off = [
        f"{split} has {found[split]} rows instead of {count}"
        for split, count in official.items()
        if found[split] != count
    ]
    return (
        f"This is not the published corpus: {'; '.join(off)}. A CSV file may be truncated."
        if off
        else ""
    )

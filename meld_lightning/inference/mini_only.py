"""Restricts models made from the mini corpus to items of the mini corpus: their answers about
anything else would look plausible and mean nothing.

Reads the marker of a mini corpus beside its clips. Used by Predictor.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from meld_lightning.errors import UserError
from meld_lightning.inference.source import Source
from meld_lightning.mini.corpus import MARKER, is_mini_text


def refuse_outside_items(source: Source, items: pd.DataFrame) -> None:
    """Raises UserError if a source that was made from the mini corpus is asked about an item
    from elsewhere: a clip outside a folder of the mini corpus, or a text without a clip that is not
    one of its lines."""
    if not source.mini:
        return
    for row in items.to_dict("records"):
        files = [row[kind] for kind in ("clip", "audio") if row[kind] is not None]
        if not (all(map(_is_of_mini, files)) if files else is_mini_text(row["text"] or "")):
            raise UserError(
                f"{row['id']}: {source.folder} was made from the mini corpus (drawn faces,"
                " synthetic voices, made-up sentences), and its answers about anything else mean"
                " nothing; to get them anyway, add allow_mini=true"
            )


def _is_of_mini(path: Any) -> bool:
    """Whether a file lies in a folder that the mini corpus was written into."""
    return any((folder / MARKER).is_file() for folder in list(Path(path).resolve().parents)[:2])

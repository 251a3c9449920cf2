"""A scored split, and the check that its logits are finite before anything is written.

Used by fit.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from meld_lightning.data.datamodule import warn_of_missing
from meld_lightning.errors import UserError
from meld_lightning.models.scoring import mostly_not_finite


class ScoredSplit(NamedTuple):
    """Rows of the table (N,), label indices (N,) and logits (N, C) of one split.

    finite: False where the model's logits were not finite and train's prior replaced them (N,).
    """

    rows: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    finite: np.ndarray


def mark_not_finite(scored: Mapping[str, ScoredSplit], table: pd.DataFrame, folder: Path) -> None:
    """Sets `present` of `table` to False where logits are not finite, and names these utterances in
    one line; UserError if they are most of a split."""
    broken: list[int] = []
    for split, one in scored.items():
        rows = one.rows[~one.finite]
        count = int(table["present"].iloc[one.rows].sum())
        if mostly_not_finite(len(rows), count):
            raise UserError(
                f"{folder}: logits of {len(rows)} of {count} utterances of {split} are not finite,"
                f" such as {table['key'].iloc[rows[0]]}: the model has diverged or its checkpoint"
                " is broken; lower optimizer.lr, set numerics=fp32 or choose another checkpoint"
            )
        broken += rows.tolist()
    warn_of_missing(table["key"].iloc[broken].tolist(), f"{folder}: logits")
    table.loc[table.index[broken], "present"] = False

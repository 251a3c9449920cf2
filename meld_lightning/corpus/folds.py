"""Splits a corpus that has no split of its own: whole units (speakers, dialogues or rows) into folds.

Reads and writes nothing; used by manifest.py.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

from meld_lightning.errors import UserError


def split_by_units(units: Sequence[str], folds: int, fold: int) -> list[str]:
    """The split of each of the N rows, given the unit of each: fold `fold` is test, the next one val, the rest train.

    Units go, the largest first, to the lightest fold, so that folds hold about equally many rows. The outcome depends
    on the set of (unit, count) alone, not on the order of rows. scikit-learn's GroupKFold does the same but breaks
    ties by numpy's default sort, which differs between processors.
    """
    if folds < 3:
        raise UserError(f"corpus.folds is {folds}: train, val and test need at least 3")
    if not 0 <= fold < folds:
        raise UserError(f"corpus.fold is {fold}: with corpus.folds={folds} it goes from 0 to {folds - 1}")
    counts = Counter(units)
    if len(counts) < folds:
        raise UserError(
            f"{len(counts)} units for corpus.folds={folds}: each fold needs one of its own; lower corpus.folds "
            "or choose another corpus.split"
        )
    load = [0] * folds
    fold_of: dict[str, int] = {}
    # Ties by digest, not by name: names that cycle through the labels would put one label into each fold.
    for unit, count in sorted(
        counts.items(), key=lambda item: (-item[1], hashlib.sha256(item[0].encode()).hexdigest())
    ):
        lightest = min(range(folds), key=lambda number: (load[number], number))
        fold_of[unit] = lightest
        load[lightest] += count
    parts = {fold: "test", (fold + 1) % folds: "val"}
    return [parts.get(fold_of[unit], "train") for unit in units]

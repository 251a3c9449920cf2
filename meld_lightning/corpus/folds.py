"""Splits a corpus that has no split of its own: whole units (speakers, dialogues or rows) into
folds.

Reads and writes nothing; used by manifest.py and by fusing.
"""

from collections import Counter
from collections.abc import Sequence

from meld_lightning.errors import UserError
from meld_lightning.storage.fingerprint import bytes_digest


def split_by_units(units: Sequence[str], folds: int, fold: int, held_out: bool = True) -> list[str]:
    """The split of each of the N rows, given their units: fold `fold` is test, the next one val,
    the rest train.

    held_out: False where test is of other rows: fold `fold` is then val, the rest train.
    """
    least = 3 if held_out else 2
    if folds < least:
        raise UserError(
            f"corpus.folds is {folds}: {'train, val and test' if held_out else 'train and val'}"
            f" need {least}"
        )
    if not 0 <= fold < folds:
        raise UserError(
            f"corpus.fold is {fold}: with corpus.folds={folds} it goes from 0 to {folds - 1}"
        )
    if len(set(units)) < folds:
        raise UserError(
            f"{len(set(units))} units for corpus.folds={folds}: each fold needs one of its own;"
            " lower corpus.folds or choose another corpus.split"
        )
    fold_of = balanced_folds(units, folds)
    parts = {fold: "test", (fold + 1) % folds: "val"} if held_out else {fold: "val"}
    return [parts.get(number, "train") for number in fold_of]


def balanced_folds(units: Sequence[str], folds: int) -> list[int]:
    """The fold of each row (N,), 0 to folds - 1: no unit in two folds, about as many rows in each.

    Units go, the largest first, to the lightest fold. The outcome depends on the set of (unit,
    count) alone, not on the order of rows. scikit-learn's GroupKFold does the same but breaks ties
    by numpy's default sort, which differs between processors.
    """
    counts = Counter(units)
    load = [0] * folds
    fold_of: dict[str, int] = {}
    # Ties by digest, not by name: names that cycle through the labels would put one label into each
    # fold.
    for unit, count in sorted(
        counts.items(), key=lambda item: (-item[1], bytes_digest([item[0].encode()]))
    ):
        lightest = min(range(folds), key=lambda number: (load[number], number))
        fold_of[unit] = lightest
        load[lightest] += count
    return [fold_of[unit] for unit in units]

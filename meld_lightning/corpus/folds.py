"""Assigns whole units (speakers, dialogues or rows) to folds.

Reads and writes nothing; used by corpus/readers/manifest_splits.py for corpora without a split of
their own, and by fusion for cross-validation.
"""

from collections import Counter
from collections.abc import Sequence

from meld_lightning.errors import UserError
from meld_lightning.storage.fingerprint import bytes_digest


def split_by_units(
    units: Sequence[str], folds: int, fold: int, held_out: bool = True, train: bool = True
) -> list[str]:
    """The split of each row (N,), given the unit of each row (N,): fold `fold` is test, the next
    one is val, the others are train.

    held_out: False if test comes from a separate file; then fold `fold` is val and the others are
    train.
    train: False if there is a train split without these rows, so that two folds are enough.
    """
    least = 3 if held_out and train else 2
    if folds < least:
        two = "val and test" if held_out else "train and val"
        raise UserError(
            f"corpus.folds={folds}: expected at least {least}, one each for"
            f" {two if least == 2 else 'train, val and test'}"
        )
    if not 0 <= fold < folds:
        raise UserError(f"corpus.fold={fold}: expected 0 to {folds - 1} with corpus.folds={folds}")
    if len(set(units)) < folds:
        raise UserError(
            f"corpus.folds={folds}: the rows form only {len(set(units))} units (see corpus.split),"
            " and each fold needs at least one; lower corpus.folds or choose another corpus.split"
        )
    fold_of = balanced_folds(units, folds)
    parts = {fold: "test", (fold + 1) % folds: "val"} if held_out else {fold: "val"}
    return [parts.get(number, "train") for number in fold_of]


def balanced_folds(units: Sequence[str], folds: int) -> list[int]:
    """The fold of each row (N,), 0 to folds - 1: no unit is in two folds, and the folds have about
    the same number of rows.

    Units are assigned to the smallest fold so far, largest unit first. The result depends only on
    the units and their sizes, not on the order of rows. scikit-learn's GroupKFold does the same but
    breaks ties with numpy's default sort, which differs between processors.
    """
    counts = Counter(units)
    size = [0] * folds
    fold_of: dict[str, int] = {}
    # Ties are broken by digest, not by name: with names that cycle through the labels, each fold
    # would otherwise get a single label.
    for unit, count in sorted(
        counts.items(), key=lambda item: (-item[1], bytes_digest([item[0].encode()]))
    ):
        smallest = min(range(folds), key=lambda number: (size[number], number))
        fold_of[unit] = smallest
        size[smallest] += count
    return [fold_of[unit] for unit in units]

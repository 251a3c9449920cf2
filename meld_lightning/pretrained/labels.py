"""Matches the labels of a checkpoint's classification head to the corpus's by name.

Used by models/text.py and models/audio.py.
"""

from collections.abc import Mapping, Sequence

from meld_lightning.errors import UserError, near_miss


def columns(
    known: Mapping[str, int], label_map: Mapping[str, str], labels: Sequence[str]
) -> list[list[int]]:
    """For each of `labels` the columns of the head that stand for it; there may be none or several.

    known: the checkpoint's labels and their columns.
    label_map: the corpus's label for labels of the checkpoint. Raises UserError if either is
        unknown.
    """
    for theirs, ours in label_map.items():
        if theirs not in known:
            raise UserError(
                f"model.label_map.{theirs}: the checkpoint has no label"
                f" {theirs}{near_miss(theirs, known)}; its labels are {', '.join(known)}"
            )
        if ours not in labels:
            raise UserError(
                f"model.label_map.{theirs}={ours}: the corpus has no label"
                f" {ours}{near_miss(ours, labels)}"
            )
    return [[known[t] for t, ours in label_map.items() if ours == label] for label in labels]

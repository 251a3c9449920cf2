"""Matches the labels of a checkpoint's classification head to the corpus's by name.

Used by models/text.py, models/audio.py and models/face.py.
"""

from collections.abc import Mapping, Sequence

from meld_lightning.errors import UserError, near_miss

# usual names of the corpora's emotions in checkpoints for faces
SAME = {
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "joy",
    "happiness": "joy",
    "sad": "sadness",
    "surprised": "surprise",
}


def map_by_name(known: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """The corpus's label for each label of a checkpoint that has the same name, or another usual
    name of the same emotion; UserError if there is none."""
    found = {theirs: SAME.get(theirs.lower(), theirs.lower()) for theirs in known}
    found = {theirs: ours for theirs, ours in found.items() if ours in labels}
    if not found:
        raise UserError(
            f"model.label_map: none of the checkpoint's labels ({', '.join(known)}) is one of the"
            f" corpus's ({', '.join(labels)}); give model.label_map.THEIRS=OURS"
        )
    return found


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

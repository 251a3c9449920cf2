"""The names and order of emotions, sentiments and splits, defined here and nowhere else.

Every stored vector over emotions has this order. Used by every room that handles labels.
"""

from collections.abc import Iterable

EMOTIONS = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
SENTIMENTS = ("neutral", "positive", "negative")
SPLITS = ("train", "val", "test")


def ordered(labels: Iterable[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """The distinct `labels`: those in `known` first and in its order, then the others, sorted."""
    present = set(labels)
    return tuple(label for label in known if label in present) + tuple(sorted(present - set(known)))

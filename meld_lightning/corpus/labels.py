"""The names and the order of emotions, sentiments and splits: defined here and nowhere else.

Reads and writes nothing; used by every room that handles labels. Every stored vector over emotions
is in this order.
"""

from collections.abc import Iterable

EMOTIONS = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
SENTIMENTS = ("neutral", "positive", "negative")
SPLITS = ("train", "val", "test")


def ordered(labels: Iterable[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """The distinct `labels`: those in `known` first, in its order, the others sorted behind."""
    present = set(labels)
    return tuple(label for label in known if label in present) + tuple(sorted(present - set(known)))

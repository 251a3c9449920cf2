"""Whether a classifier can learn the labels of a corpus: at least two of them, and all in train.

Reads the corpus table; writes nothing. Used by study/preparation.py.
"""

from meld_lightning.corpus.table import Corpus


def check_learnable(corpus: Corpus) -> str | None:
    """A line about the labels that occur in val or test but never in train; None if there is none.
    UserError if the corpus has a single emotion, and no sentiments to learn instead."""
    if len(corpus.sentiments) < 2:
        corpus.labels("emotion")
    table = corpus.table
    train = table["split"] == "train"
    unseen = []
    for column in ("emotion", "sentiment"):
        known = set(table.loc[train, column].dropna())
        counts = table.loc[~train, column].dropna().value_counts()
        unseen += [
            f"{column} {label} ({count} {'row' if count == 1 else 'rows'})"
            for label, count in counts.items()
            if label not in known
        ]
    if not unseen:
        return None
    return (
        f"corpus {corpus.name}: labels of val or test that never occur in train, so that no model"
        f" can learn them: {', '.join(unseen)}"
    )

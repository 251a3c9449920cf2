"""Soft labels: what a training aims at where readers voted for the emotion of an utterance.

Reads the columns of votes in the corpus table; writes nothing. Used by data/datamodule.py.

Axes: N rows of the corpus table, C emotions.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from meld_lightning.corpus.emotionlines import required_votes


def train_targets(table: pd.DataFrame, labels: Sequence[str], share: float) -> np.ndarray:
    """The target of each row as probabilities (N, C), float32: `share` of it the readers' votes,
    the rest the label. The label alone in rows without votes, and outside of train.

    table: the corpus table with a column `label`, an index into `labels`.
    """
    label_NC = np.eye(len(labels))[table["label"].to_numpy()]
    votes_NC = required_votes(table, labels)
    count_N1 = votes_NC.sum(1, keepdims=True)
    voted_N1 = (count_N1 > 0) & (table["split"] == "train").to_numpy()[:, None]
    mixed_NC = (1 - share) * label_NC + share * votes_NC / np.maximum(count_N1, 1)
    return np.where(voted_N1, mixed_NC, label_NC).astype(np.float32)

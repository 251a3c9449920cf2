"""Turns people's votes about each utterance into log-probabilities.

Reads one file of votes (corpus/vote_counts.py); writes nothing. Used by training/imported.py.

Axes: N rows of the corpus table, C labels.
"""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from meld_lightning.corpus.vote_counts import counts_of
from meld_lightning.data.predictions import Predictions
from meld_lightning.errors import UserError, near_miss
from meld_lightning.storage.fingerprint import bytes_digest


def aligned_votes(
    path: Path, perceived: str, keys: Sequence[str], labels: Sequence[str]
) -> np.ndarray:
    """The votes (N, C) for the utterances `keys`; zeros for an utterance that the file lacks.
    UserError for a clip that is not in the corpus."""
    counts = counts_of(path, perceived, labels)
    known = set(keys)
    if unknown := [key for key in counts.index if key not in known]:
        raise UserError(
            f"predictions={path}: {len(unknown)} of {len(counts)} keys are not in the corpus, such"
            f" as '{unknown[0]}'{near_miss(unknown[0], keys)}"
        )
    return counts.reindex(list(keys), fill_value=0).to_numpy(np.int64)


def votes_digest(votes_NC: np.ndarray, keys: Sequence[str]) -> str:
    """sha256 (hex) of the votes, whichever file they were read from."""
    return bytes_digest(
        f"{key}:{','.join(map(str, votes_C))}".encode()
        for key, votes_C in sorted(zip(keys, votes_NC.tolist(), strict=True))
    )


def votes_as_predictions(
    votes_NC: np.ndarray,
    perceived: str,
    keys: Sequence[str],
    smoothing: float,
    most: int | None,
    seed: int,
) -> Predictions:
    """Logarithms of the labels' shares in the votes, each count raised by `smoothing`.

    perceived: what the voters perceived; votes on something else are drawn independently of these.
    most: how many votes of each utterance are drawn; None: all. Equal seeds draw the same votes,
        and fewer votes are a part of more.
    """
    if most is not None:
        rows = zip(keys, votes_NC, strict=True)
        votes_NC = np.stack([_drawn(votes_C, perceived, key, most, seed) for key, votes_C in rows])
    raised_NC = votes_NC + smoothing
    shares_NC = raised_NC / raised_NC.sum(1, keepdims=True)
    given_N = votes_NC.sum(axis=1) > 0
    return Predictions(np.where(given_N[:, None], np.log(shares_NC), np.nan), given_N)


def _drawn(votes_C: np.ndarray, perceived: str, key: str, most: int, seed: int) -> np.ndarray:
    """At most `most` of an utterance's votes (C,), drawn without replacement."""
    cast = np.repeat(np.arange(len(votes_C)), votes_C)
    # votes lie sorted by label: one order for two modalities would draw the same labels of both
    of_utterance = [seed, zlib.crc32(perceived.encode()), zlib.crc32(key.encode())]
    order = np.random.default_rng(of_utterance).permutation(len(cast))
    return np.bincount(cast[order[:most]], minlength=len(votes_C))

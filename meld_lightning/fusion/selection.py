"""Choosing among fusions by cross-validation on val.

Reads and writes no files; used by fit.py. Axes: N utterances, C classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meld_lightning.corpus.folds import balanced_folds
from meld_lightning.errors import UserError
from meld_lightning.fusion.joined import Joined
from meld_lightning.fusion.method import Fusion
from meld_lightning.metrics import scores


@dataclass(frozen=True)
class Selection:
    """The candidate that cross-validation chose.

    cross_validated holds every candidate's score on val. held_out_NC are the chosen one's
    log-scores of val, each utterance scored by a fusion that was fitted without its unit.
    """

    name: str
    cross_validated: dict[str, float]
    held_out_NC: np.ndarray


def select(
    candidates: Mapping[str, Fusion], val: Joined, *, metric: str, folds: int, seed: int
) -> Selection:
    """Cross-validates every candidate on val and chooses the best by `metric`, the first of equals.

    Raises UserError where val holds too few units to divide.
    """
    fold_N = unit_folds(val, folds)
    held_out = {name: held_out_scores(one, val, fold_N, seed) for name, one in candidates.items()}
    cross_validated = {
        name: scores(val.labels_N, scores_NC)[metric] for name, scores_NC in held_out.items()
    }
    better = min if metric == "loss" else max
    best = better(cross_validated, key=cross_validated.__getitem__)
    return Selection(best, cross_validated, held_out[best])


def unit_folds(val: Joined, folds: int) -> np.ndarray:
    """The fold of each utterance (N,). A unit (a dialogue, speaker or row) stays within one fold.

    There are as many folds as units where `folds` is more; raises UserError for a single unit.
    """
    folds = min(folds, len(set(val.units_N)))
    if folds < 2:
        raise UserError(
            "val holds a single dialogue or speaker, which cannot be divided into folds: choose"
            " another corpus.split or corpus.folds, so that val holds at least two"
        )
    return np.array(balanced_folds(list(val.units_N), folds))


def held_out_scores(fusion: Fusion, val: Joined, fold_N: np.ndarray, seed: int) -> np.ndarray:
    """Log-scores (N, C) of val, each fold scored after fitting on all the others."""
    scores_NC = np.zeros((len(val.labels_N), len(val.labels)))
    for fold in range(fold_N.max() + 1):
        fusion.fit(val.where(fold_N != fold), seed)
        scores_NC[fold_N == fold] = fusion(val.batch.where(fold_N == fold))
    return scores_NC

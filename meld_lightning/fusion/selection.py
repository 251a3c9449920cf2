"""Choosing among fusions by cross-validation on val, and scoring that choice from outside it.

The best of several cross-validated scores is optimistic, because noise helped to make it the best.
What is reported as the score on val therefore comes from nested cross-validation (Varma and Simon,
Bias in error estimation when using cross-validation for model selection, BMC Bioinformatics 2006):
for each fold, the candidates are cross-validated on the other folds alone, and the one chosen there
scores the fold.

Reads and writes no files; used by fit.py. Axes: N utterances, C classes, K folds.
"""

import functools
import itertools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from meld_lightning.corpus.folds import balanced_folds
from meld_lightning.errors import UserError
from meld_lightning.fusion.joined import Joined
from meld_lightning.fusion.method import Fusion
from meld_lightning.metrics import scores

logger = logging.getLogger(__name__)

Name = TypeVar("Name", str, int)
Without = Callable[[int, int], Joined]


@dataclass(frozen=True)
class Selection:
    """The candidate that cross-validation chose, and the honest scores of the choice.

    Attributes:
        name: the chosen candidate.
        cross_validated: every candidate's score on val, which the choice rests on. The best of
            them is optimistic.
        chosen_without: the candidate that is chosen without each of the K folds.
        nested_NC: log-scores of val from outside the choice: each utterance is scored by the
            candidate that is chosen, and fitted, without its fold.
    """

    name: str
    cross_validated: dict[str, float]
    chosen_without: list[str]
    nested_NC: np.ndarray


def select(
    candidates: Mapping[str, Fusion],
    val: Joined,
    fold_N: np.ndarray,
    *,
    metric: str,
    seed: int,
    without: Without | None = None,
) -> Selection:
    """Cross-validates every candidate on val, whose utterances lie in the folds `fold_N`, and
    chooses the best by `metric`, the first of equals.

    without: val as it is while the labels of two folds (one, if they are equal) are unknown, where
    its logits depend on labels: those of runs that were themselves chosen, see alternatives.py.
    """
    held_out = {
        name: held_out_scores(one, val, fold_N, seed, nested=len(candidates) > 1, without=without)
        for name, one in candidates.items()
    }
    rows_N = np.arange(len(fold_N))
    cross_validated = {
        name: scores(val.labels_N, scores_KNC[fold_N, rows_N])[metric]
        for name, scores_KNC in held_out.items()
    }
    chosen_without = [
        _best(held_out, val.labels_N, fold_N != fold, fold, metric)
        for fold in range(fold_N.max() + 1)
    ]
    nested_NC = np.stack(
        [held_out[chosen_without[fold]][fold, row] for row, fold in enumerate(fold_N)]
    )
    return Selection(
        first_best(cross_validated, metric), cross_validated, chosen_without, nested_NC
    )


def run_scores(val: Joined, metric: str) -> dict[str, float]:
    """The score of each modality's logits in `val`. Where its run was chosen over others, these are
    the logits of the choice repeated for each fold, and the score is not that run's own."""
    return {
        name: scores(val.labels_N, log_probs_NC)[metric]
        for name, log_probs_NC in zip(val.modalities, val.batch.log_probs_MNC, strict=True)
    }


def better_run(runs: Mapping[str, float], selection: Selection, metric: str) -> str | None:
    """The modality that alone beats every candidate on val; None where there is none, as always if
    the runs are among the candidates.

    runs: as `run_scores` gives them on the val that the candidates were cross-validated on.
    """
    best = first_best(runs, metric)
    chosen = selection.cross_validated[selection.name]
    better = runs[best] < chosen if metric == "loss" else runs[best] > chosen
    return best if better else None


def unit_folds(val: Joined, folds: int) -> np.ndarray:
    """The fold of each utterance (N,). A unit (a dialogue, speaker or row) stays within one fold.

    There are as many folds as units where `folds` is more. Where val is a single dialogue or
    speaker, its utterances are divided, as the report takes them for independent there; raises
    UserError for a single utterance.
    """
    units = list(val.units_N)
    if len(set(units)) == 1:
        _warn_of_one(str(units[0]))
        units = list(val.keys_N)
    if len(units) < 2:
        raise UserError(
            "val holds a single utterance, which cannot be divided into folds: choose another"
            " corpus.split or corpus.folds, so that val holds at least two"
        )
    return np.array(balanced_folds(units, min(folds, len(set(units)))))


@functools.cache
def _warn_of_one(unit: str) -> None:
    """Once for all fusions of a study."""
    logger.warning(
        "val holds %s alone: its utterances are divided into folds, so that the score on val says"
        " nothing about other speakers or dialogues",
        unit,
    )


def held_out_scores(
    fusion: Fusion,
    val: Joined,
    fold_N: np.ndarray,
    seed: int,
    *,
    nested: bool,
    without: Without | None = None,
) -> np.ndarray:
    """Log-scores (K, N, C) of val: [k, n] is utterance n, scored after fitting on all folds but k
    and the fold of n itself.

    So where n is in fold k, these are the scores of a plain cross-validation; the other scores of k
    are those of a cross-validation on the folds other than k. A fit without two folds serves both
    of them. NaN where there is nothing to fit on, and off the plain part unless `nested`.
    `without` is as in `select`.
    """
    folds = fold_N.max() + 1
    if not fusion.fits and without is None:
        fusion.fit(val, seed)
        return np.broadcast_to(fusion(val.batch), (folds, len(fold_N), len(val.labels)))
    scores_KNC = np.full((folds, len(fold_N), len(val.labels)), np.nan)
    for one, other in itertools.combinations_with_replacement(range(folds), 2):
        out_N = (fold_N == one) | (fold_N == other)
        if (fusion.fits and out_N.all()) or (one != other and not nested):
            continue
        data = without(one, other) if without else val
        fusion.fit(data.where(~out_N), seed)
        for left, scored in ((one, other), (other, one)):
            scores_KNC[left, fold_N == scored] = fusion(data.batch.where(fold_N == scored))
    return scores_KNC


def _best(
    held_out: Mapping[str, np.ndarray],
    labels_N: np.ndarray,
    inside_N: np.ndarray,
    fold: int,
    metric: str,
) -> str:
    """The candidate that is chosen without `fold`, from the utterances `inside_N`.

    A single other fold leaves nothing to fit on: then the runs as they are compete alone.
    """
    if len(held_out) == 1:
        return next(iter(held_out))
    found = {
        name: scores(labels_N[inside_N], scores_KNC[fold, inside_N])[metric]
        for name, scores_KNC in held_out.items()
        if not np.isnan(scores_KNC[fold, inside_N]).any()
    }
    return first_best(found, metric)


def first_best(values: Mapping[Name, float], metric: str) -> Name:
    """The name of the best value: the lowest loss, or the highest of any other metric."""
    better = min if metric == "loss" else max
    return better(values, key=values.__getitem__)

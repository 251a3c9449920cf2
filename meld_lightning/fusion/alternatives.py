"""Runs that were themselves chosen by their scores on val, and what a fusion is fitted on instead.

The best of several runs owes part of its score on val to noise, so that a fusion fitted there
trusts it too much. With the logits of the runs it was chosen over, the choice is repeated for each
fold: the utterances of a fold are scored by whichever run is best on the other folds. Where
cross-validation leaves folds out, it is repeated without those as well, so that no label of a fold
decides how that fold is scored.

Reads the logits of runs, writes nothing; used by fit.py. Axes: M modalities, N utterances, C
classes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from meld_lightning.fusion.joined import Joined, JoinedRuns, LogitsBatch
from meld_lightning.fusion.selection import first_best
from meld_lightning.metrics import scores
from meld_lightning.runs.run import Run


def alternative_scores(
    runs: Mapping[str, Run], alternatives: Mapping[str, Sequence[Run]]
) -> dict[str, list[LogitsBatch]]:
    """Modality -> val as each of its other runs scores it, that modality alone, in the order of
    `runs` joined.

    Raises UserError where the other runs are not of the same corpus and labels.
    """
    found: dict[str, list[LogitsBatch]] = {}
    for name, others in alternatives.items():
        for other in others:
            batch = JoinedRuns({**runs, f"{name} alternative": other}).split("val").batch
            alone = LogitsBatch(batch.log_probs_MNC[-1:], batch.present_MN[-1:])
            found.setdefault(name, []).append(alone)
    return found


def repeat_choices(
    val: Joined,
    alternatives: Mapping[str, Sequence[LogitsBatch]],
    fold_N: np.ndarray,
    metric: str,
    left_out: Collection[int] = (),
) -> Joined:
    """`val` with out-of-fold logits of every modality whose run was chosen over alternatives.

    Each fold has the logits of the run that is best on all folds but it and those left out; where
    no other fold remains, of the run that is best on the fold itself.

    Args:
        alternatives: as `alternative_scores` gives them.
        fold_N: the fold of each utterance.
        metric: what the runs are compared by; of equals the one in `val` is kept.
        left_out: folds whose labels must not influence the choice for any other fold.
    """
    log_probs_MNC, present_MN = val.batch.log_probs_MNC.copy(), val.batch.present_MN.copy()
    for name, others in alternatives.items():
        place = val.modalities.index(name)
        own = LogitsBatch(val.batch.log_probs_MNC[[place]], val.batch.present_MN[[place]])
        runs = [own, *others]
        for fold in range(fold_N.max() + 1):
            inside_N = fold_N == fold
            decides_N = ~inside_N & ~np.isin(fold_N, list(left_out))
            if not decides_N.any():
                decides_N = inside_N
            values = {
                number: scores(val.labels_N[decides_N], run.log_probs_MNC[0, decides_N])[metric]
                for number, run in enumerate(runs)
            }
            best = runs[first_best(values, metric)]
            log_probs_MNC[place, inside_N] = best.log_probs_MNC[0, inside_N]
            present_MN[place, inside_N] = best.present_MN[0, inside_N]
    batch = val.batch._replace(log_probs_MNC=log_probs_MNC, present_MN=present_MN)
    return replace(val, batch=batch)

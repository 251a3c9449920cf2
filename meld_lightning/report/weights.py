"""The score of every weighting of a fusion's modalities on val, and the weights that were fitted.

Reads the logits of the runs that are fused; writes nothing. Used by the page. The scores are those
among which fusion/searched.py picks: the log prior plus weighted evidence, weights summing to 1.

Axes: W weightings, M modalities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from meld_lightning.fusion.joined import JoinedRuns
from meld_lightning.fusion.likelihood_ratio import Single
from meld_lightning.fusion.searched import simplex, weight_scores
from meld_lightning.study.sources import FinishedRun

STEPS = 20  # weights in steps of .05
SHOWN = (2, 3)  # numbers of modalities that a figure can show


@dataclass(frozen=True)
class Surface:
    """modalities: names of the axis M. weights_WM: the weightings; score_W: weighted F1 on val, to
    which temperatures and prior were fitted."""

    modalities: tuple[str, ...]
    weights_WM: np.ndarray
    score_W: np.ndarray


def surface(runs: Mapping[str, FinishedRun]) -> Surface:
    """The scores on val of all weightings of the runs. runs: modality -> run, two or three."""
    val = JoinedRuns(cast(Any, runs)).split("val")
    calibrated = Single("calibrated", val.modalities[0])  # fits temperatures and prior alone
    calibrated.fit(val, seed=0)
    evidence_MNC = calibrated.evidence(val.batch)
    weights_WM = simplex(len(runs), STEPS)
    score_W = weight_scores(calibrated.prior_C, evidence_MNC, weights_WM, val.labels_N)
    return Surface(tuple(runs), weights_WM, score_W)

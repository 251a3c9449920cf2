"""The bins of a reliability diagram of a row: how well its confidence matches its accuracy.

Reads the runs' logits, writes nothing. Used by the page and by report/plots.py.

Axes: N utterances, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meld_lightning.fusion.calibration import Bins, binned
from meld_lightning.fusion.joined import normalised
from meld_lightning.runs.logits import logits_of
from meld_lightning.study.sources import FinishedRun


def reliability(runs: Sequence[FinishedRun], split: str = "test") -> Bins:
    """The bins of the utterances of `split`, pooled over the runs."""
    log_probs, true = [], []
    for run in runs:
        frame, labels = run.logits(split), list(run.result.labels)
        log_probs.append(normalised(logits_of(frame, labels)))
        true.append(frame["label"].map({label: place for place, label in enumerate(labels)}))
    return binned(np.concatenate(log_probs), np.concatenate(true))

"""One run of one modality exactly as it is: what every choice among fusions has to beat.

Reads and writes no files; a candidate of chosen.py.
"""

from typing import Any

import numpy as np

from meld_lightning.fusion.joined import LogitsBatch
from meld_lightning.fusion.method import Fusion, by_name


class Alone(Fusion):
    """The log-probabilities of one run, unchanged. Where the modality is missing they are the
    run's own prior, the shares of train.

    Nothing is fitted, so its score on val is that of the logits it is given, whatever the folds. If
    the run was chosen over others on val, these are the logits of the choice repeated for each fold
    (alternatives.py), not those of the run.

    Args:
        modality: the run's modality.
    """

    fits = False

    def __init__(self, name: str, modality: str) -> None:
        super().__init__(name)
        self.modality = modality

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        return batch.log_probs_MNC[self.modalities.index(self.modality)]

    def describe(self) -> dict[str, Any]:
        used_M = np.array([name == self.modality for name in self.modalities])
        return {"weights": by_name(self.modalities, used_M)}

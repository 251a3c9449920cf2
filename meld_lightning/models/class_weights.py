"""Class weights of the loss, from the number of training utterances in each class.

Used by models/classifier.py. Axes: C classes.
"""

from typing import Literal

import numpy as np
import torch

ClassWeights = Literal["none", "inverse", "effective"]
BETA = 0.999  # of `effective`; the closer to 1, the closer to `inverse`


def class_weights(counts_C: np.ndarray, kind: ClassWeights) -> torch.Tensor:
    """Weight of each class, float32 (C,).

    The weights have a mean of 1 over the classes that occur; a class that does not occur gets 0.

    counts_C: training utterances per class.
    kind: `none` gives every class the weight 1; `inverse` is proportional to 1 / n; `effective` is
        proportional to (1 - BETA) / (1 - BETA^n), Cui et al., Class-balanced loss based on
        effective number of samples, CVPR 2019, equation 2.
    """
    if kind == "none":
        return torch.ones(len(counts_C))
    present_C = counts_C > 0
    counts = counts_C[present_C]
    raw_C = np.zeros(len(counts_C))
    raw_C[present_C] = 1 / counts if kind == "inverse" else (1 - BETA) / (1 - BETA**counts)
    return torch.tensor(raw_C / raw_C[present_C].mean(), dtype=torch.float32)

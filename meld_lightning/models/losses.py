"""Losses of single utterances: cross-entropy, the focal loss and logit adjustment.

Used by models/classifier.py. Axes: N utterances, C classes.
"""

from typing import Literal

import torch
from torch.nn import functional

Loss = Literal["cross_entropy", "focal", "logit_adjusted"]
GAMMA = 2.0  # of the focal loss, the value that its paper found best


def utterance_losses(
    kind: Loss,
    logits_NC: torch.Tensor,
    targets: torch.Tensor,
    log_prior_C: torch.Tensor,
    class_weights_C: torch.Tensor,
    label_smoothing: float,
) -> torch.Tensor:
    """Loss of each utterance (N,).

    kind: `cross_entropy`; `focal`, which multiplies it by (1 - p)^GAMMA, p being the probability of
        the target, so that utterances already learnt count less (Lin et al., ICCV 2017, equation
        5); `logit_adjusted`, which adds the log of the class shares to the logits, so that the
        logits alone learn to ignore them (Menon et al., ICLR 2021, equation 10, tau 1).
    targets: labels (N,) or probabilities (N, C).
    log_prior_C: log of the classes' shares in train, up to a constant, of any float type.
    class_weights_C, label_smoothing: as in torch.nn.CrossEntropyLoss.
    """
    if kind == "logit_adjusted":
        logits_NC = logits_NC + log_prior_C.float()  # modules have it in float64
    plain_N = functional.cross_entropy(
        logits_NC,
        targets,
        weight=class_weights_C,
        label_smoothing=label_smoothing,
        reduction="none",
    )
    if kind != "focal":
        return plain_N
    probs_NC = logits_NC.softmax(1)
    if targets.ndim == 1:
        right_N = probs_NC.gather(1, targets[:, None])[:, 0]
    else:
        right_N = (probs_NC * targets).sum(1)
    return (1 - right_N) ** GAMMA * plain_N

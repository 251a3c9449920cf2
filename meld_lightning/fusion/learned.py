"""The fusion that learns a weight per modality and a bias per class, by maximum likelihood.

Reads and writes no files. Axes: M modalities, N utterances, C classes.
"""

from typing import Annotated, Any

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from meld_lightning.fusion.method import by_name
from meld_lightning.fusion.trained import EvidenceBatch, TrainedFusion


class Learned(TrainedFusion):
    """The log prior plus weighted evidence plus biases, fitted to the likelihood of val.

    Args:
        l2: strength of the squared penalty, in utterances. It draws the weights towards 1, which
            counts every modality once, and the biases towards 0.
    """

    steps = 1  # a single L-BFGS step runs to convergence

    def __init__(self, name: str, l2: Annotated[float, Field(ge=0)] = 1.0) -> None:
        super().__init__(name)
        self.l2 = l2

    def make_module(self) -> "LinearModule":
        return LinearModule(self.prior_C, len(self.modalities), self.l2)

    def describe(self) -> dict[str, Any]:
        weights = self.module.state_dict()
        return {
            **super().describe(),
            "weights": by_name(self.modalities, weights["weight_M"].numpy()),
            "biases": weights["bias_C"].tolist(),
        }


class LinearModule(pl.LightningModule):
    """Log-scores that are linear in the evidence; fitted by L-BFGS."""

    def __init__(self, prior_C: np.ndarray, modalities: int, l2: float) -> None:
        super().__init__()
        self.prior_C: torch.Tensor
        self.register_buffer("prior_C", torch.tensor(prior_C), persistent=False)
        self.weight_M = nn.Parameter(torch.ones(modalities, dtype=torch.float64))
        self.bias_C = nn.Parameter(torch.zeros(len(prior_C), dtype=torch.float64))
        self.l2 = l2

    def forward(self, evidence_MNC: torch.Tensor, present_MN: torch.Tensor) -> torch.Tensor:
        """Log-scores (N, C)."""
        return self.prior_C + torch.einsum("m,mnc->nc", self.weight_M, evidence_MNC) + self.bias_C

    def training_step(self, batch: EvidenceBatch, batch_idx: int) -> torch.Tensor:
        evidence_MNC, present_MN, labels_N, _ = batch
        squares = ((self.weight_M - 1) ** 2).sum() + (self.bias_C**2).sum()
        loss = functional.cross_entropy(self(evidence_MNC, present_MN), labels_N)
        return loss + self.l2 * squares / len(labels_N)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(self.parameters(), max_iter=100, line_search_fn="strong_wolfe")

"""The fusion that adds the correction of a small neural network to the sum of the evidence.

Reads and writes no files. Axes: M modalities, N utterances, C classes, X inputs of the network.
"""

from typing import Annotated

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from meld_lightning.fusion.trained import EvidenceBatch, TrainedFusion


class Stacked(TrainedFusion):
    """A network over the evidence of all modalities. While it is fitted, modalities are dropped at
    random.

    Args:
        hidden: units of the one hidden layer.
        modality_dropout: probability that a modality of an utterance is dropped in a step.
        steps: optimiser steps, each over all of val.
        weight_decay: as in AdamW.
    """

    def __init__(
        self,
        name: str,
        hidden: Annotated[int, Field(ge=1)] = 16,
        modality_dropout: Annotated[float, Field(ge=0, le=1)] = 0.1,
        steps: Annotated[int, Field(ge=1)] = 100,
        weight_decay: Annotated[float, Field(ge=0)] = 0.1,
    ) -> None:
        super().__init__(name)
        self.hidden, self.modality_dropout = hidden, modality_dropout
        self.steps, self.weight_decay = steps, weight_decay

    def make_module(self) -> "StackedModule":
        return StackedModule(
            self.prior_C,
            len(self.modalities),
            hidden=self.hidden,
            modality_dropout=self.modality_dropout,
            weight_decay=self.weight_decay,
        )


class StackedModule(pl.LightningModule):
    """The log prior, the sum of the evidence and a network's correction, which starts at zero."""

    def __init__(
        self,
        prior_C: np.ndarray,
        modalities: int,
        *,
        hidden: int,
        modality_dropout: float,
        weight_decay: float,
    ) -> None:
        super().__init__()
        self.prior_C: torch.Tensor
        self.register_buffer("prior_C", torch.tensor(prior_C), persistent=False)
        classes = len(prior_C)
        first, last = nn.Linear(modalities * (classes + 1), hidden), nn.Linear(hidden, classes)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(first, nn.Tanh(), last).double()
        self.modality_dropout, self.weight_decay = modality_dropout, weight_decay

    def forward(self, evidence_MNC: torch.Tensor, present_MN: torch.Tensor) -> torch.Tensor:
        """Log-scores (N, C)."""
        inputs_MNX = torch.cat([torch.tanh(evidence_MNC / 4), present_MN[..., None].double()], -1)
        correction_NC = self.network(inputs_MNX.transpose(0, 1).flatten(1))
        return self.prior_C + evidence_MNC.sum(0) + correction_NC

    def training_step(self, batch: EvidenceBatch, batch_idx: int) -> torch.Tensor:
        evidence_MNC, present_MN, labels_N, _ = batch
        kept_MN = present_MN & (torch.rand(present_MN.shape) >= self.modality_dropout)
        return functional.cross_entropy(self(evidence_MNC * kept_MN[..., None], kept_MN), labels_N)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2, weight_decay=self.weight_decay)

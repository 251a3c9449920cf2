"""The fusion that maps each modality's evidence by a matrix, so that a class which one modality
takes for another is recognised.

Each modality is calibrated as in Kull et al., Beyond temperature scaling: obtaining well-calibrated
multiclass probabilities with Dirichlet calibration, NeurIPS 2019, and all are fitted together.

Reads and writes no files. Axes: M modalities, N utterances, C classes, D the classes that evidence
is for.
"""

from typing import Annotated, Any

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from meld_lightning.fusion.trained import EvidenceBatch, TrainedFusion


class Matrix(TrainedFusion):
    """The log prior plus evidence times a matrix for each modality plus biases, fitted to the
    likelihood of val.

    Args:
        l2: strength of the squared penalty, in utterances. It draws the matrices towards the
            identity, which counts every modality once, and the biases towards 0.
    """

    steps = 1  # a single L-BFGS step runs to convergence

    def __init__(self, name: str, l2: Annotated[float, Field(ge=0)] = 10.0) -> None:
        super().__init__(name)
        self.l2 = l2

    def make_module(self) -> "MatrixModule":
        return MatrixModule(self.prior_C, len(self.modalities), self.l2)

    def describe(self) -> dict[str, Any]:
        fitted = self.module.state_dict()
        matrices = fitted["matrix_MCD"].tolist()
        return {
            **super().describe(),
            "matrices": dict(zip(self.modalities, matrices, strict=True)),
            "biases": fitted["bias_C"].tolist(),
        }


class MatrixModule(pl.LightningModule):
    """Log-scores that are linear in the evidence for all classes; fitted by L-BFGS."""

    def __init__(self, prior_C: np.ndarray, modalities: int, l2: float) -> None:
        super().__init__()
        self.prior_C: torch.Tensor
        self.register_buffer("prior_C", torch.tensor(prior_C), persistent=False)
        identity = torch.eye(len(prior_C), dtype=torch.float64)
        self.matrix_MCD = nn.Parameter(identity.repeat(modalities, 1, 1))
        self.bias_C = nn.Parameter(torch.zeros(len(prior_C), dtype=torch.float64))
        self.l2 = l2

    def forward(self, evidence_MND: torch.Tensor, present_MN: torch.Tensor) -> torch.Tensor:
        """Log-scores (N, C)."""
        return (
            self.prior_C + torch.einsum("mcd,mnd->nc", self.matrix_MCD, evidence_MND) + self.bias_C
        )

    def training_step(self, batch: EvidenceBatch, batch_idx: int) -> torch.Tensor:
        evidence_MND, present_MN, labels_N, _ = batch
        identity = torch.eye(len(self.prior_C), dtype=torch.float64)
        squares = ((self.matrix_MCD - identity) ** 2).sum() + (self.bias_C**2).sum()
        loss = functional.cross_entropy(self(evidence_MND, present_MN), labels_N)
        return loss + self.l2 * squares / len(labels_N)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(self.parameters(), max_iter=100, line_search_fn="strong_wolfe")

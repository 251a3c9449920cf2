"""The LightningModules inside the fusions that are fitted by gradients; used by models/fusion.py.

Axes: M modalities, N utterances, C classes, X inputs of the network.
"""

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch import nn
from torch.nn import functional

from meld_lightning.fusion.joined import LogitsBatch, in_one_batch


class LinearFusion(pl.LightningModule):
    """log prior + weights times evidence + biases. Fitted by L-BFGS in one step over everything."""

    def __init__(self, prior_C: np.ndarray, modalities: int, pull: float) -> None:
        super().__init__()
        self.register_buffer("prior_C", torch.from_numpy(prior_C))
        self.prior_C: torch.Tensor
        self.weight_M = nn.Parameter(torch.ones(modalities, dtype=torch.float64))
        self.bias_C = nn.Parameter(torch.zeros(len(prior_C), dtype=torch.float64))
        self.pull = pull

    def forward(self, evidence_MNC: torch.Tensor, present_MN: torch.Tensor) -> torch.Tensor:
        """Log-scores (N, C)."""
        return self.prior_C + torch.einsum("m,mnc->nc", self.weight_M, evidence_MNC) + self.bias_C

    def training_step(self, batch: LogitsBatch, batch_idx: int) -> torch.Tensor:
        evidence_MNC, present_MN, labels_N = batch
        penalty = (
            self.pull * (((self.weight_M - 1) ** 2).sum() + (self.bias_C**2).sum()) / len(labels_N)
        )
        return functional.cross_entropy(self(evidence_MNC, present_MN), labels_N) + penalty  # type: ignore[arg-type]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(self.parameters(), max_iter=100, line_search_fn="strong_wolfe")


class StackedFusion(pl.LightningModule):
    """log prior + the sum of evidence + a network's correction, which begins at nothing."""

    def __init__(
        self,
        prior_C: np.ndarray,
        modalities: int,
        hidden: int,
        modality_dropout: float,
        weight_decay: float,
    ) -> None:
        super().__init__()
        self.register_buffer("prior_C", torch.from_numpy(prior_C))
        self.prior_C: torch.Tensor
        classes = len(prior_C)
        self.network = nn.Sequential(
            nn.Linear(modalities * (classes + 1), hidden), nn.Tanh(), nn.Linear(hidden, classes)
        ).double()
        nn.init.zeros_(self.network[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.network[2].bias)  # type: ignore[arg-type]
        self.modality_dropout, self.weight_decay = modality_dropout, weight_decay

    def forward(self, evidence_MNC: torch.Tensor, present_MN: torch.Tensor) -> torch.Tensor:
        """Log-scores (N, C)."""
        seen_MNX = torch.cat([torch.tanh(evidence_MNC / 4), present_MN[..., None].double()], -1)
        return (
            self.prior_C + evidence_MNC.sum(0) + self.network(seen_MNX.transpose(0, 1).flatten(1))
        )

    def training_step(self, batch: LogitsBatch, batch_idx: int) -> torch.Tensor:
        evidence_MNC, present_MN, labels_N = (torch.as_tensor(part) for part in batch)
        kept_MN = present_MN & (torch.rand(present_MN.shape) >= self.modality_dropout)
        return functional.cross_entropy(self(evidence_MNC * kept_MN[..., None], kept_MN), labels_N)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2, weight_decay=self.weight_decay)


def fit_module(module: pl.LightningModule, batch: LogitsBatch, steps: int) -> None:
    """Fits on the whole batch, `steps` times."""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        plugins=[LightningEnvironment()],  # alone, in a Slurm job too
    )
    trainer.fit(module, in_one_batch(batch, steps))
    module.eval()


def module_scores(
    module: nn.Module, evidence_MNC: np.ndarray, present_MN: np.ndarray
) -> np.ndarray:
    """The module's output in numpy (N, C)."""
    with torch.inference_mode():
        evidence, present = torch.tensor(evidence_MNC), torch.tensor(present_MN)
        return module(evidence, present).numpy()

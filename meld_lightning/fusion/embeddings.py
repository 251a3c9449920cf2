"""The hybrid fusion: a small gated network over the pooled embeddings of the modalities, beside the
sum of their evidence.

The network is a gated multimodal unit (Arevalo et al., Gated multimodal units for information
fusion, ICLR 2017 workshop, section 3), with a softmax over the modalities in place of its sigmoid,
so that any number of them may be present.

Reads and writes no files. Axes: M modalities, N utterances, C classes, D dimensions of a modality's
embeddings, H hidden units.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from meld_lightning.errors import UserError
from meld_lightning.fusion.joined import Joined
from meld_lightning.fusion.method import by_name
from meld_lightning.fusion.trained import PREFIX, EvidenceBatch, TrainedFusion

SCORE_OF_MISSING = -1e30  # before the softmax; finite, so that no gradient is NaN


class Embeddings(TrainedFusion):
    """A gated network over embeddings, fitted on val. While it is fitted, modalities are dropped at
    random.

    Args:
        late: whether the network corrects the sum of the modalities' calibrated evidence, as a late
            fusion has it; false: it sees embeddings alone.
        hidden: units that each embedding is projected to.
        modality_dropout: probability that a modality of an utterance is dropped in a step.
        dropout: rate on the standardised embeddings.
        steps: optimiser steps, each over all of val.
        weight_decay: as in AdamW.
    """

    fitted = (*TrainedFusion.fitted, "width_M", "gate_M")
    reads_embeddings = True
    module: "GatedModule"

    def __init__(
        self,
        name: str,
        late: bool = True,
        hidden: Annotated[int, Field(ge=1)] = 16,
        modality_dropout: Annotated[float, Field(ge=0, le=1)] = 0.1,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        steps: Annotated[int, Field(ge=1)] = 100,
        weight_decay: Annotated[float, Field(ge=0)] = 0.1,
    ) -> None:
        super().__init__(name)
        self.late, self.hidden, self.modality_dropout = late, hidden, modality_dropout
        self.dropout, self.steps, self.weight_decay = dropout, steps, weight_decay

    def fit_to_evidence(self, evidence_MNC: np.ndarray, data: Joined, seed: int) -> None:
        if not data.batch.embeddings_M:
            raise UserError(
                f"fusion={self.name}: the runs have no embeddings; fuse runs of `train`"
            )
        self.width_M = np.array([one_ND.shape[1] for one_ND in data.batch.embeddings_M])
        super().fit_to_evidence(evidence_MNC, data, seed)
        present_MN = torch.tensor(self.present(data.batch))
        with torch.inference_mode():
            _, gate_MN = self.module.gated(present_MN, self.embeddings(data.batch))
        self.gate_M = gate_MN.mean(1).numpy()

    def make_module(self) -> "GatedModule":
        return GatedModule(
            self.prior_C,
            self.width_M.tolist(),
            late=self.late,
            hidden=self.hidden,
            modality_dropout=self.modality_dropout,
            dropout=self.dropout,
            weight_decay=self.weight_decay,
        )

    def take_from(self, batch: EvidenceBatch) -> None:
        """Standardises each modality by the utterances that have it."""
        for one, embeddings_ND, present_N in zip(
            self.module.projections, batch.embeddings_M, batch.present_MN, strict=True
        ):
            assert isinstance(one, Projection)
            one.standardise_by(embeddings_ND[present_N])

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets the fitted weights; ValueError if they are another module's. A damaged file must not
        decide how large a module is made."""
        widths = [
            arrays[f"{PREFIX}projections.{place}.linear.weight"].shape[-1]
            for place in range(len(self.modalities))
        ]
        if arrays["width_M"].tolist() != widths:
            raise ValueError(f"width_M is {arrays['width_M'].tolist()}, expected {widths}")
        super().restore(arrays)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "gates": by_name(self.modalities, self.gate_M)}


class Projection(nn.Module):
    """One modality's embeddings, standardised and projected to hidden units, and their gate score.

    Args:
        width: D.
        hidden: H.
        dropout: rate on the standardised embeddings.
    """

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.mean_D: torch.Tensor
        self.deviation_D: torch.Tensor
        self.register_buffer("mean_D", torch.zeros(width))
        self.register_buffer("deviation_D", torch.ones(width))
        self.dropout = nn.Dropout(dropout)
        self.linear, self.gate = nn.Linear(width, hidden), nn.Linear(hidden, 1)

    def standardise_by(self, embeddings_ND: torch.Tensor) -> None:
        """Takes mean and deviation from these utterances. A dimension in which they do not differ
        is only centred."""
        if not len(embeddings_ND):
            return
        self.mean_D.copy_(embeddings_ND.mean(0))
        deviation_D = embeddings_ND.std(0, correction=0)
        self.deviation_D.copy_(torch.where(deviation_D > 1e-6, deviation_D, 1.0))

    def forward(self, embeddings_ND: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden units (N, H) and gate scores (N,)."""
        standardised_ND = (embeddings_ND - self.mean_D) / self.deviation_D
        hidden_NH = torch.tanh(self.linear(self.dropout(standardised_ND)))
        return hidden_NH, self.gate(hidden_NH).squeeze(1)


class GatedModule(pl.LightningModule):
    """The log prior, the sum of the evidence if `late`, and what the gated embeddings say, which
    starts at zero. Without any modality it is the log prior."""

    def __init__(
        self,
        prior_C: np.ndarray,
        widths: list[int],
        *,
        late: bool,
        hidden: int,
        modality_dropout: float,
        dropout: float,
        weight_decay: float,
    ) -> None:
        super().__init__()
        self.prior_C: torch.Tensor
        self.register_buffer("prior_C", torch.tensor(prior_C), persistent=False)
        self.projections = nn.ModuleList(Projection(width, hidden, dropout) for width in widths)
        self.output = nn.Linear(hidden, len(prior_C), bias=False)
        nn.init.zeros_(self.output.weight)
        self.projections.double()
        self.output.double()
        self.late = late
        self.modality_dropout, self.weight_decay = modality_dropout, weight_decay

    def gated(
        self, present_MN: torch.Tensor, embeddings_M: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The gated sum of the hidden units (N, H), and the gates (M, N), which sum to 1 over the
        modalities that an utterance has."""
        found = [one(each) for one, each in zip(self.projections, embeddings_M, strict=True)]
        hidden_MNH, score_MN = (torch.stack(part) for part in zip(*found, strict=True))
        gate_MN = torch.softmax(score_MN.masked_fill(~present_MN, SCORE_OF_MISSING), 0) * present_MN
        return (gate_MN[..., None] * hidden_MNH).sum(0), gate_MN

    def forward(
        self,
        evidence_MNC: torch.Tensor,
        present_MN: torch.Tensor,
        *embeddings_M: torch.Tensor,
    ) -> torch.Tensor:
        """Log-scores (N, C)."""
        pooled_NH, _ = self.gated(present_MN, embeddings_M)
        start_NC = self.prior_C + evidence_MNC.sum(0) if self.late else self.prior_C
        return start_NC + self.output(pooled_NH)

    def training_step(self, batch: EvidenceBatch, batch_idx: int) -> torch.Tensor:
        kept_MN = batch.present_MN & (torch.rand(batch.present_MN.shape) >= self.modality_dropout)
        evidence_MNC = batch.evidence_MNC * kept_MN[..., None]
        return functional.cross_entropy(
            self(evidence_MNC, kept_MN, *batch.embeddings_M), batch.labels_N
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2, weight_decay=self.weight_decay)

"""Video: CLIP's zero-shot scores of a clip's frames, and a linear probe on the same embeddings.

Used by training with batches of data/video.py: neither runs the image tower.

Axes: N utterances, F frames, D dimensions, C classes.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from meld_lightning.data.video import VideoBatch
from meld_lightning.models.class_weights import ClassWeights
from meld_lightning.models.classifier import Classifier
from meld_lightning.models.layers import Standardise
from meld_lightning.pretrained.clip import Clip, label_vectors

Aggregation = Literal["mean", "confidence", "max"]


class ClipZeroShot(Classifier):
    """Frames scored against prompts, and the scores of a clip's frames made one. Nothing is fitted.

    Args:
        name: what the run is called.
        checkpoint: folder of a CLIP that from_pretrained loads.
        prompts: texts with {label} in them; several are averaged.
        aggregation: see `aggregated`.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | Path,
        prompts: list,
        aggregation: Aggregation,
        *,
        labels: tuple[str, ...],
        **training: Any,
    ) -> None:
        super().__init__(weighting="none", label_smoothing=0.0, **training)
        clip = Clip(checkpoint, None).eval()
        self.aggregation = aggregation
        self.register_buffer("labels_CD", label_vectors(clip, prompts, labels), persistent=False)
        self.register_buffer("scale", clip.scale.clone(), persistent=False)
        self.labels_CD: torch.Tensor
        self.scale: torch.Tensor

    def forward(self, batch: VideoBatch) -> torch.Tensor:
        """Logits (N, C): logarithms of the clips' scores."""
        with torch.autocast(
            self.device.type, enabled=False
        ):  # bf16 tells logits of 16 and more apart by eighths alone
            chances_NFC = torch.softmax(self.scale * batch.embeds_NFD @ self.labels_CD.T, dim=-1)
        return torch.log(
            aggregated(chances_NFC, own_frames(batch), self.aggregation).clamp_min(1e-12)
        )


class ClipProbe(Classifier):
    """One linear layer on CLIP's frame embeddings, pooled over the clip.

    Args:
        name, checkpoint: as ClipZeroShot; the checkpoint is read by the datamodule.
        pooling: `mean` over the clip's frames, or `attentive`, whose weights are learnt.
        dropout: rate on the pooled embedding.
        mixup: alpha of the Beta distribution by which each training clip's frames are mixed with
            another's (Zhang et al., mixup: beyond empirical risk minimization, ICLR 2018, section
            2); 0 is none.
        labels, class_weights, label_smoothing, and the rest of `training`: see Classifier.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | Path,
        pooling: Literal["mean", "attentive"],
        dropout: float,
        mixup: float,
        class_weights: ClassWeights,
        label_smoothing: float,
        *,
        labels: tuple[str, ...],
        **training: Any,
    ) -> None:
        super().__init__(weighting=class_weights, label_smoothing=label_smoothing, **training)
        torch.manual_seed(self.seed)
        from transformers import CLIPConfig

        width = int(CLIPConfig.from_pretrained(checkpoint).projection_dim or 0)
        self.mixup = mixup
        self.attention = nn.Linear(width, 1) if pooling == "attentive" else None
        self.standardise = Standardise(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, len(labels))

    def forward(self, batch: VideoBatch) -> torch.Tensor:
        """Logits (N, C)."""
        mask_NF1 = own_frames(batch).unsqueeze(-1)
        if self.attention is None:
            weight_NF1 = mask_NF1 / mask_NF1.sum(1, keepdim=True)
        else:
            weight_NF1 = torch.softmax(
                self.attention(batch.embeds_NFD).masked_fill(~mask_NF1, float("-inf")), dim=1
            )
        pooled_ND = (weight_NF1 * batch.embeds_NFD).sum(1)
        return self.classifier(self.dropout(self.standardise(pooled_ND, batch.owned_N)))

    def losses(self, batch: VideoBatch) -> torch.Tensor:
        if not self.mixup:
            return super().losses(batch)
        share = torch.distributions.Beta(self.mixup, self.mixup).sample().to(self.device)
        others_N = torch.randperm(len(batch.frames_N), device=self.device)
        logits_NC = self(batch._replace(embeds_NFD=mixed(batch, others_N, share))).float()
        own_N, other_N = (
            self.cross_entropy(logits_NC, labels_N)
            for labels_N in (batch.labels_N, batch.labels_N[others_N])
        )
        return share * own_N + (1 - share) * other_N


def own_frames(batch: VideoBatch) -> torch.Tensor:
    """Which frames are a clip's own rather than padding (N, F)."""
    return (
        torch.arange(batch.embeds_NFD.shape[1], device=batch.frames_N.device)
        < batch.frames_N[:, None]
    )


def mixed(batch: VideoBatch, others_N: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Each clip's frames (N, F, D), `share` its own and the rest another's, which is repeated where
    it is shorter."""
    places_NF = (
        torch.arange(batch.embeds_NFD.shape[1], device=others_N.device)
        % batch.frames_N[others_N][:, None]
    )
    theirs_NFD = batch.embeds_NFD[others_N[:, None], places_NF]
    return (share * batch.embeds_NFD + (1 - share) * theirs_NFD) * own_frames(batch).unsqueeze(-1)


def aggregated(chances_NFC: torch.Tensor, mask_NF: torch.Tensor, how: Aggregation) -> torch.Tensor:
    """One probability a class from those of a clip's frames (N, C).

    mean: their mean. confidence: the paper's cumulative weighted scores (Section C), each frame
        weighted by its largest
    probability. max: each class's best frame, brought to sum 1.
    """
    own_NF1 = mask_NF.unsqueeze(-1).to(chances_NFC.dtype)
    if how == "max":
        best_NC = (chances_NFC * own_NF1).amax(1)
        return best_NC / best_NC.sum(-1, keepdim=True)
    weight_NF1 = own_NF1 * chances_NFC.amax(-1, keepdim=True) if how == "confidence" else own_NF1
    return (weight_NF1 * chances_NFC).sum(1) / weight_NF1.sum(1)

"""Video: CLIP's zero-shot scores of a clip's frames, and a linear probe on the same embeddings.

Reads a CLIP checkpoint. Used by training with batches of data/video.py, whose datamodule has run
the image encoder already.

Axes: N utterances, F frames, D dimensions, C classes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from meld_lightning.data.video import VideoBatch
from meld_lightning.models.class_weights import ClassWeights
from meld_lightning.models.classifier import Classifier
from meld_lightning.models.layers import Standardise
from meld_lightning.models.losses import Loss
from meld_lightning.models.scoring import MIN_PROBABILITY, ScoredBatch
from meld_lightning.pretrained.clip import Clip, embedding_size, label_vectors

Aggregation = Literal["mean", "confidence", "max"]


class ClipZeroShot(Classifier):
    """CLIP's similarity of frames and prompts, aggregated over each clip. Nothing is fitted.

    Args:
        name: the model's name in run folders and tables.
        checkpoint: folder of a CLIP or SigLIP that from_pretrained loads.
        prompts: texts with {label} in them; the embeddings of several are averaged.
        aggregation: how the scores of a clip's frames become one: the paper's confidence-weighted
            mean, the mean, or the maximum.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | Path,
        prompts: Sequence[str] = ("a photo of a person feeling {label}",),
        aggregation: Aggregation = "confidence",
        *,
        labels: tuple[str, ...],
        **training: Any,
    ) -> None:
        super().__init__(class_weights="none", label_smoothing=0.0, **training)
        clip = Clip(checkpoint, None).eval()
        self.aggregation = aggregation
        self.register_buffer("labels_CD", label_vectors(clip, prompts, labels), persistent=False)
        self.register_buffer("scale", clip.scale.clone(), persistent=False)
        self.labels_CD: torch.Tensor
        self.scale: torch.Tensor

    def forward(self, batch: VideoBatch) -> torch.Tensor:
        """Logits (N, C): log-probabilities of each clip."""
        # not in bf16, which has steps of 1/8 between logits of 16 and more
        with torch.autocast(self.device.type, enabled=False):
            probability_NFC = torch.softmax(
                self.scale * batch.embeds_NFD @ self.labels_CD.T, dim=-1
            )
        return torch.log(
            aggregated(probability_NFC, own_frames(batch), self.aggregation).clamp_min(
                MIN_PROBABILITY
            )
        )

    def score_and_embed(self, batch: VideoBatch) -> tuple[ScoredBatch, torch.Tensor]:
        return self.predict_step(batch, 0), mean_embedding(batch)


class ClipProbe(Classifier):
    """A linear layer on CLIP's frame embeddings, pooled over the clip.

    Args:
        name: the model's name in run folders and tables.
        checkpoint: folder of a CLIP or SigLIP, which the datamodule reads.
        pooling: over the clip's frames: their mean, or attention with learnt weights.
        dropout: rate on the pooled embedding.
        mixup: alpha of the Beta distribution that mixes each training clip's frames with another's;
            0: none. (Zhang et al., mixup: beyond empirical risk minimization, ICLR 2018, section
            2.)
        labels: names of the classes.
        training: see Classifier.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | Path,
        pooling: Literal["mean", "attentive"] = "mean",
        dropout: Annotated[float, Field(ge=0, le=1)] = 0.1,
        mixup: Annotated[float, Field(ge=0)] = 0.4,
        class_weights: ClassWeights = "none",
        label_smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0,
        loss: Loss = "cross_entropy",
        *,
        labels: tuple[str, ...],
        **training: Any,
    ) -> None:
        super().__init__(
            class_weights=class_weights, label_smoothing=label_smoothing, loss=loss, **training
        )
        width = self.width_of(checkpoint)
        torch.manual_seed(self.seed)
        self.mixup = mixup
        self.attention = nn.Linear(width, 1) if pooling == "attentive" else None
        self.standardise = Standardise(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, len(labels))

    @staticmethod
    def width_of(checkpoint: str | Path) -> int:
        """Numbers that the datamodule's encoder makes of a frame."""
        return embedding_size(checkpoint)

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
        # stays on the CPU, as a number for the kernels: a copy to the device would wait for it
        share = torch.distributions.Beta(self.mixup, self.mixup).sample()
        others_N = torch.randperm(len(batch.frames_N), device=self.device)
        logits_NC = self(batch._replace(embeds_NFD=mixed(batch, others_N, share))).float()
        targets = self.targets(batch)
        own_N, other_N = (
            self.weighted_losses(logits_NC, one) for one in (targets, targets[others_N])
        )
        return share * own_N + (1 - share) * other_N


def own_frames(batch: VideoBatch) -> torch.Tensor:
    """Mask of the frames that are a clip's own and not padding (N, F)."""
    return (
        torch.arange(batch.embeds_NFD.shape[1], device=batch.frames_N.device)
        < batch.frames_N[:, None]
    )


def mean_embedding(batch: VideoBatch) -> torch.Tensor:
    """The mean over each clip's own frames (N, D), float32 on the CPU: the embedding of a clip for
    models that fit nothing."""
    own_NF1 = own_frames(batch).unsqueeze(-1)
    return ((batch.embeds_NFD * own_NF1).sum(1) / own_NF1.sum(1)).float().cpu()


def mixed(batch: VideoBatch, others_N: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Embeddings (N, F, D) mixed frame by frame: `share` of each clip's own and the rest of another
    clip's.

    others_N: row of the other clip. A shorter one is repeated to the length of the clip.
    """
    places_NF = (
        torch.arange(batch.embeds_NFD.shape[1], device=others_N.device)
        % batch.frames_N[others_N][:, None]
    )
    theirs_NFD = batch.embeds_NFD[others_N[:, None], places_NF]
    return (share * batch.embeds_NFD + (1 - share) * theirs_NFD) * own_frames(batch).unsqueeze(-1)


def aggregated(
    probability_NFC: torch.Tensor, mask_NF: torch.Tensor, how: Aggregation
) -> torch.Tensor:
    """Class probabilities of each clip (N, C), from those of its frames.

    how: `mean` averages the frames; `confidence` weights each frame by its largest probability (the
        paper's cumulative weighted scores, Section C); `max` takes each class's best frame and
        divides by the sum.
    """
    own_NF1 = mask_NF.unsqueeze(-1).to(probability_NFC.dtype)
    if how == "max":
        best_NC = (probability_NFC * own_NF1).amax(1)
        return best_NC / best_NC.sum(-1, keepdim=True)
    weight_NF1 = (
        own_NF1 * probability_NFC.amax(-1, keepdim=True) if how == "confidence" else own_NF1
    )
    return (weight_NF1 * probability_NFC).sum(1) / weight_NF1.sum(1)

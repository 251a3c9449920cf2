"""Faces: an existing network's emotions of a clip's faces, and a probe on the same network's
features.

Reads a checkpoint for faces. Used by training with batches of data/video.py, whose datamodule has
run the network already.

Axes: N utterances, F faces, D features, K the checkpoint's labels, C classes.
"""

from pathlib import Path
from typing import Any

import torch

from meld_lightning.data.video import VideoBatch
from meld_lightning.models.classifier import Classifier
from meld_lightning.models.scoring import MIN_PROBABILITY, ScoredBatch
from meld_lightning.models.video import (
    Aggregation,
    ClipProbe,
    aggregated,
    mean_embedding,
    own_frames,
)
from meld_lightning.pretrained.faces import face_labels, face_width
from meld_lightning.pretrained.labels import columns, map_by_name


class FaceExpression(Classifier):
    """A face network's own emotions, aggregated over the faces of each clip. Nothing is fitted.

    Args:
        name: the model's name in run folders and tables.
        checkpoint: folder of FaceExpressionNet, of mini_XCEPTION, or of a model that
            AutoModelForImageClassification loads.
        label_map: the corpus's label for each label of the checkpoint; null matches labels of the
            same name, and usual names such as happy and angry. A label of the corpus that is
            missing is never predicted.
        aggregation: how the scores of a clip's faces become one: the paper's confidence-weighted
            mean, the mean, or the maximum.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | Path,
        label_map: dict[str, str] | None = None,
        aggregation: Aggregation = "confidence",
        *,
        labels: tuple[str, ...],
        **training: Any,
    ) -> None:
        super().__init__(class_weights="none", label_smoothing=0.0, **training)
        own = face_labels(checkpoint)
        known = {label: place for place, label in enumerate(own)}
        given = map_by_name(own, labels) if label_map is None else label_map
        self.columns, self.own, self.aggregation = (
            columns(known, given, labels),
            len(own),
            aggregation,
        )

    def forward(self, batch: VideoBatch) -> torch.Tensor:
        """Logits (N, C): log-probabilities of each clip; labels that map to the same one are
        summed."""
        logits_NFK = batch.embeds_NFD[..., -self.own :].float()
        probability_NFK = torch.softmax(logits_NFK, dim=-1)
        clip_NK = aggregated(probability_NFK, own_frames(batch), self.aggregation)
        clip_NC = torch.stack([clip_NK[:, places].sum(1) for places in self.columns], dim=1)
        return torch.log(clip_NC.clamp_min(MIN_PROBABILITY))

    def score_and_embed(self, batch: VideoBatch) -> tuple[ScoredBatch, torch.Tensor]:
        return self.predict_step(batch, 0), mean_embedding(batch)


class FaceProbe(ClipProbe):
    """A linear layer on a face network's features and logits, pooled over the faces of the clip.

    Args:
        checkpoint: folder of FaceExpressionNet, of mini_XCEPTION, or of a model that
            AutoModelForImageClassification loads; the datamodule reads it.
    """

    @staticmethod
    def width_of(checkpoint: str | Path) -> int:
        return face_width(checkpoint)

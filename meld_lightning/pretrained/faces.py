"""Encodes face crops as features and emotions, with a light network of face_networks.py or any
image classification checkpoint of transformers.

Reads a checkpoint folder. Used by data/video.py, which caches FaceEncoder's outputs, models/face.py
and check.py.

Axes: F faces, S pixels a side, D features, K the checkpoint's own labels.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional
from transformers import AutoModelForImageClassification

from meld_lightning.errors import UserError
from meld_lightning.pretrained.face_networks import load_face_network, network_of
from meld_lightning.pretrained.loading import load_config, load_image_processor, load_model

SMALLEST = 0.7  # side of the smallest nested crop, as a share of the picture's


class FaceEncoder(nn.Module):
    """Faces, uint8 RGB (F, S, S, 3) -> features and logits side by side (F, D + K).

    Args:
        checkpoint: the folder of FaceExpressionNet, of mini_XCEPTION, or of a model that
            AutoModelForImageClassification loads. Features are the inputs of its classifier.
        size: pixels per side of the crops, which are resized to the network's input.
        nested: how many central crops of each face are averaged, the whole picture first and each
            smaller than the one before, down to SMALLEST of its side. Networks are sensitive to how
            tightly a face is cut out, and so to the detector; an average over crops is less so.
    """

    def __init__(
        self,
        checkpoint: str | Path | None,
        size: int = 224,
        nested: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        super().__init__()
        assert checkpoint is not None
        self.sides = nested_sides(size, nested)
        light = network_of(checkpoint) is not None
        self.network: nn.Module = (
            _LightNetwork(checkpoint) if light else _ImageClassifier(checkpoint)
        )

    def forward(self, faces_FSS3: np.ndarray) -> torch.Tensor:
        if len(self.sides) == 1:
            return torch.cat(self.network(faces_FSS3), dim=1)
        each = [self.network(_central(faces_FSS3, side)) for side in self.sides]
        features_FD = torch.stack([features for features, _ in each]).mean(0)
        shares_FK = torch.stack([logits.float().softmax(1) for _, logits in each]).mean(0)
        return torch.cat([features_FD, shares_FK.log()], dim=1)


def nested_sides(size: int, nested: int) -> list[int]:
    """Sides of the nested crops in pixels: equal steps from `size` to SMALLEST of it."""
    shares = [1.0] if nested == 1 else np.linspace(1, SMALLEST, nested)
    return [round(size * share) for share in shares]


def _central(faces_FSS3: np.ndarray, side: int) -> np.ndarray:
    start = (faces_FSS3.shape[1] - side) // 2
    return np.ascontiguousarray(faces_FSS3[:, start : start + side, start : start + side])


class _LightNetwork(nn.Module):
    def __init__(self, checkpoint: str | Path) -> None:
        super().__init__()
        self.network = load_face_network(checkpoint)
        self.register_buffer("place", torch.zeros(()), persistent=False)
        self.place: torch.Tensor

    def forward(self, faces_FSS3: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        faces_F3SS = torch.tensor(faces_FSS3, device=self.place.device).permute(0, 3, 1, 2).float()
        wanted = (self.network.pixels, self.network.pixels)
        if faces_F3SS.shape[2:] != wanted:
            faces_F3SS = functional.interpolate(faces_F3SS, wanted, mode="bilinear", antialias=True)
        return self.network(faces_F3SS)


class _ImageClassifier(nn.Module):
    def __init__(self, checkpoint: str | Path) -> None:
        super().__init__()
        self.processor = load_image_processor(checkpoint)
        config = load_config(checkpoint)
        self.model: Any = load_model(AutoModelForImageClassification, checkpoint, config)
        self.model.requires_grad_(False)
        if not isinstance(getattr(self.model, "classifier", None), nn.Module):
            raise UserError(
                f"checkpoint folder {checkpoint}: {type(self.model).__name__} has no layer"
                " `classifier`, whose input would be the features of a face; use another checkpoint"
            )

    def forward(self, faces_FSS3: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        read: list[torch.Tensor] = []
        hook = self.model.classifier.register_forward_pre_hook(
            lambda _, given: read.append(given[0])
        )
        try:
            inputs = self.processor(images=list(faces_FSS3), return_tensors="pt")
            logits_FK = self.model(**inputs.to(self.model.device)).logits
        finally:
            hook.remove()
        return read[0].flatten(1), logits_FK


def load_face_processor(checkpoint: str | Path) -> Any:
    """The image processor of a checkpoint for faces; None for a network of face_networks.py."""
    return None if network_of(checkpoint) is not None else load_image_processor(checkpoint)


def face_labels(checkpoint: str | Path) -> tuple[str, ...]:
    """The checkpoint's own labels in the order of its logits, which are the last K outputs of
    FaceEncoder."""
    network = network_of(checkpoint)
    if network is not None:
        return network.labels
    names = load_config(checkpoint).id2label
    return tuple(str(names[place]) for place in range(len(names)))


def face_width(checkpoint: str | Path) -> int:
    """The number of FaceEncoder's outputs for a face, D + K."""
    network = network_of(checkpoint)
    if network is not None:
        return network.features + len(network.labels)
    with torch.inference_mode():
        return FaceEncoder(checkpoint).eval()(np.zeros((1, 224, 224, 3), np.uint8)).shape[1]

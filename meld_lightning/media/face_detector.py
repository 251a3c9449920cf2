"""TinyFaceDetector, a network of 193,321 parameters that finds faces in a picture.

The network and the decoding of its output are those of face-api (@vladmandic/face-api 1.7.15,
src/tinyYolov2/TinyYolov2Base.ts): a small YOLOv2 (Redmon and Farhadi, CVPR 2017) of depthwise
separable convolutions. Reads its weights. Used by faces.py; imports torch.

Axes: S pixels a side of the input, K cells a side, A anchors.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from meld_lightning.media.face_weights import DETECTOR, load_exactly, read_face_weights

MEAN = (117.001, 114.697, 97.404)  # RGB, subtracted before the division by 255
# widths and heights, in cells
ANCHORS = (
    (1.603231, 2.094468),
    (6.041143, 7.080126),
    (2.882459, 3.518061),
    (4.266906, 5.178857),
    (9.041765, 10.66308),
)
CHANNELS = (16, 32, 64, 128, 256, 512)
# Pixels per side of the input. 416 is face-api's default; at 224 it finds faces that fill the
# picture.
INPUTS = (224, 416)
MIN_SCORE = 0.5  # face-api's default
# If two boxes overlap more, the one with the lower score is dropped; face-api's default.
MAX_OVERLAP = 0.4
# Added on every side, as a share of the shorter side. Without it, faces at the picture's edge are
# not found.
BORDER = 0.25


class Box(NamedTuple):
    """A face in pixels of its picture; it may extend beyond it. `score` is between 0 and 1."""

    left: float
    top: float
    width: float
    height: float
    score: float

    def overlap(self, other: "Box") -> float:
        """Area of the intersection over area of the union."""
        across = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        down = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        shared = max(0.0, across) * max(0.0, down)
        return shared / (self.width * self.height + other.width * other.height - shared)


class Separable(nn.Module):
    """A depthwise 3 x 3 convolution and a pointwise one, with at most one bias."""

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, padding: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pointwise(self.depthwise(x))
        return x if self.bias is None else x + self.bias[:, None, None]


class TinyFaceDetector(nn.Module):
    """Pictures (N, 3, S, S), RGB from 0 to 255 -> (N, K, K, A, 5): x, y, width, height and score of
    each anchor in each cell, before their sigmoids and exponentials. S is a multiple of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, CHANNELS[0], 3)
        for number, (inputs, outputs) in enumerate(itertools.pairwise(CHANNELS), 1):
            self.add_module(f"conv{number}", Separable(inputs, outputs))
        self.conv8 = nn.Conv2d(CHANNELS[-1], 5 * len(ANCHORS), 1)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.mean: torch.Tensor

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        x = (pictures - self.mean) / 255
        for number in range(len(CHANNELS)):
            x = functional.leaky_relu(self.get_submodule(f"conv{number}")(x), 0.1)
            if number < len(CHANNELS) - 1:
                x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
        x = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=float("-inf")), 2, 1)
        x = self.conv8(x).permute(0, 2, 3, 1)
        return x.reshape(*x.shape[:3], len(ANCHORS), 5)


def load_detector(folder: str | Path) -> TinyFaceDetector:
    """The detector with the weights in `folder`; UserError if they are missing."""
    detector = TinyFaceDetector()
    load_exactly(detector, read_face_weights(Path(folder), DETECTOR), Path(folder))
    return detector.eval().requires_grad_(False)


def find_faces(detector: TinyFaceDetector, picture: np.ndarray) -> list[Box]:
    """The faces in a picture, uint8 RGB (height, width, 3), by descending score.

    The picture is searched at each size of INPUTS that does not enlarge it, and at the smallest.
    """
    height, width = picture.shape[:2]
    border = round(BORDER * min(height, width))
    side = max(height, width) + 2 * border
    square = np.zeros((side, side, 3), np.uint8)
    square[border : border + height, border : border + width] = picture
    found = []
    for pixels in (one for one in INPUTS if one in (INPUTS[0], min(one, side))):
        for x, y, w, h, score in decoded(_output(detector, square, pixels)):
            found.append(Box(x * side - border, y * side - border, w * side, h * side, score))
    return without_repeats(found)


def _output(detector: TinyFaceDetector, square: np.ndarray, pixels: int) -> np.ndarray:
    """The network's output (K, K, A, 5) for a square picture resized to `pixels` a side."""
    resized = Image.fromarray(square).resize((pixels, pixels), Image.Resampling.BILINEAR)
    input_13SS = torch.tensor(np.asarray(resized)).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        return detector(input_13SS)[0].double().numpy()


def decoded(output_KKA5: np.ndarray) -> list[tuple[float, ...]]:
    """Left, top, width and height, as shares of the input's side, and score of each box whose score
    is above MIN_SCORE."""
    cells = output_KKA5.shape[0]
    score_KKA = _sigmoid(output_KKA5[..., 4])
    found = []
    for row, column, anchor in np.argwhere(score_KKA > MIN_SCORE):
        x, y, w, h = output_KKA5[row, column, anchor, :4]
        width = np.exp(w) * ANCHORS[anchor][0] / cells
        height = np.exp(h) * ANCHORS[anchor][1] / cells
        left = (column + _sigmoid(x)) / cells - width / 2
        top = (row + _sigmoid(y)) / cells - height / 2
        found.append(
            tuple(float(one) for one in (left, top, width, height, score_KKA[row, column, anchor]))
        )
    return found


def without_repeats(boxes: Sequence[Box]) -> list[Box]:
    """Non-maximum suppression: the boxes, by descending score, that do not overlap a kept one of a
    higher score by more than MAX_OVERLAP."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda one: -one.score):
        if all(box.overlap(other) <= MAX_OVERLAP for other in kept):
            kept.append(box)
    return kept


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))

"""Weights of the face networks, drawn at random, and what the networks make of them by torch's
functions alone.

Used by the tests of media, pretrained and data.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as f

SHARED = Path(__file__).parents[1] / "../shared"
Weights = dict[str, torch.Tensor]


def write_expression(folder: Path, seed: int = 0) -> Weights:
    """face_expression.safetensors with random weights, which it returns by face-api's names."""
    draw = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    for block, (inputs, outputs) in enumerate([(3, 32), (32, 64), (64, 128), (128, 256)]):
        for number in range(4):
            first = number == 0
            _add(weights, f"dense{block}/conv{number}", inputs if first else outputs, outputs,
                 plain=first and block == 0, draw=draw)  # fmt: skip
    weights["fc/weights"] = torch.randn(7, 256, generator=draw)
    weights["fc/bias"] = torch.randn(7, generator=draw)
    return _saved(weights, folder / "face_expression.safetensors")


def write_detector(folder: Path, seed: int = 0) -> Weights:
    """tiny_face_detector.safetensors with random weights."""
    draw = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    widths = (3, 16, 32, 64, 128, 256, 512)
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        _add(weights, f"conv{number}", inputs, outputs, plain=number == 0, draw=draw)
    weights["conv8/filters"] = torch.randn(25, 512, 1, 1, generator=draw) / 30
    weights["conv8/bias"] = torch.randn(25, generator=draw)
    return _saved(weights, folder / "tiny_face_detector.safetensors")


def write_xception(folder: Path, seed: int = 0) -> Weights:
    """model.safetensors of mini_XCEPTION with random weights, by Keras's names."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw) / 3

    weights = {"conv2d_1/kernel": normal(8, 1, 3, 3), "conv2d_2/kernel": normal(8, 8, 3, 3)}
    norms, inputs = [8, 8], 8
    for block, width in enumerate((16, 32, 64, 128)):
        weights[f"conv2d_{block + 3}/kernel"] = normal(width, inputs, 1, 1)
        for number, before in ((1, inputs), (2, width)):
            name = f"separable_conv2d_{2 * block + number}"
            weights[f"{name}/depthwise_kernel"] = normal(before, 1, 3, 3)
            weights[f"{name}/pointwise_kernel"] = normal(width, before, 1, 1)
        norms, inputs = norms + [width] * 3, width
    weights |= {"conv2d_7/kernel": normal(7, 128, 3, 3), "conv2d_7/bias": normal(7)}
    for number, width in enumerate(norms, 1):
        name = f"batch_normalization_{number}"
        weights |= {f"{name}/{one}": normal(width) for one in ("gamma", "beta", "moving_mean")}
        weights[f"{name}/moving_variance"] = normal(width).abs() + 0.5
    return _saved(weights, folder / "model.safetensors")


def write_shards(weights: Weights, folder: Path, name: str) -> Weights:
    """The network as the npm package ships it: filters as bytes, biases as float32. Returns what
    the bytes stand for."""
    entries, content, kept = [], b"", {}
    for key, weight in weights.items():
        stored = weight.numpy()
        if stored.ndim == 4:
            stored = stored.transpose((2, 3, 0, 1) if "depthwise" in key else (2, 3, 1, 0))
        stored = np.ascontiguousarray(stored.T if stored.ndim == 2 else stored)
        entry: dict[str, Any] = {"name": key, "shape": list(stored.shape), "dtype": "float32"}
        if stored.ndim == 1:
            content, kept[key] = content + stored.tobytes(), weight
        else:
            low, scale = float(stored.min()), float(np.ptp(stored)) / 255
            codes = np.round((stored - low) / scale).astype(np.uint8)
            entry["quantization"] = {"dtype": "uint8", "scale": scale, "min": low}
            content += codes.tobytes()
            kept[key] = torch.round((weight - low) / scale) * scale + low
        entries.append(entry)
    manifest = [{"weights": entries, "paths": [f"{name}_model.bin"]}]
    (folder / f"{name}_model-weights_manifest.json").write_text(json.dumps(manifest))
    (folder / f"{name}_model.bin").write_bytes(content)
    return kept


def expression_logits(weights: Weights, pictures: torch.Tensor) -> torch.Tensor:
    """FaceExpressionNet's logits of RGB pictures (F, 3, 112, 112)."""
    x = (pictures - torch.tensor([122.782, 117.001, 104.298])[:, None, None]) / 255
    for block in range(4):
        name = f"dense{block}/conv"
        a = _convolved(f.pad(x, (0, 1, 0, 1)), weights, f"{name}0", 2, 0).relu()
        b = _convolved(a, weights, f"{name}1")
        c = _convolved((a + b).relu(), weights, f"{name}2")
        d = _convolved((a + b + c).relu(), weights, f"{name}3")
        x = (a + b + c + d).relu()
    assert x.shape[2:] == (7, 7)
    return f.linear(f.avg_pool2d(x, 7).flatten(1), weights["fc/weights"], weights["fc/bias"])


def detector_output(weights: Weights, pictures: torch.Tensor) -> torch.Tensor:
    """TinyFaceDetector's 25 numbers a cell of RGB pictures, (N, K, K, 25)."""
    x = (pictures - torch.tensor([117.001, 114.697, 97.404])[:, None, None]) / 255
    for number in range(6):
        x = _convolved(x, weights, f"conv{number}", padding=0 if number == 0 else 1)
        x = torch.maximum(x, 0.1 * x)
        right = x.shape[3] % 2 if number < 5 else 1
        padded = f.pad(x, (0, right, 0, right), value=-1e9)
        x = f.max_pool2d(padded, 2, 2 if number < 5 else 1)
    x = f.conv2d(x, weights["conv8/filters"], weights["conv8/bias"])
    return x.permute(0, 2, 3, 1)


def xception_logits(weights: Weights, pictures: torch.Tensor) -> torch.Tensor:
    """mini_XCEPTION's logits of RGB pictures (F, 3, 64, 64)."""

    def normalised(x: torch.Tensor, number: int) -> torch.Tensor:
        gamma, beta, mean, variance = (
            weights[f"batch_normalization_{number}/{one}"][:, None, None]
            for one in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / torch.sqrt(variance + 0.001) * gamma + beta

    def separable(x: torch.Tensor, number: int) -> torch.Tensor:
        name = f"separable_conv2d_{number}"
        depthwise = weights[f"{name}/depthwise_kernel"]
        x = f.conv2d(x, depthwise, padding=1, groups=len(depthwise))
        return f.conv2d(x, weights[f"{name}/pointwise_kernel"])

    red, green, blue = pictures.unbind(1)
    x = ((0.299 * red + 0.587 * green + 0.114 * blue) / 255 - 0.5)[:, None] * 2
    for number in (1, 2):
        x = normalised(f.conv2d(x, weights[f"conv2d_{number}/kernel"]), number).relu()
    for block in range(4):
        residual = f.conv2d(x, weights[f"conv2d_{block + 3}/kernel"], stride=2)
        x = normalised(separable(x, 2 * block + 1), 3 * block + 4).relu()
        x = normalised(separable(x, 2 * block + 2), 3 * block + 5)
        even = x.shape[3] % 2 == 0
        x = f.max_pool2d(f.pad(x, (0, 1, 0, 1) if even else (1, 1, 1, 1), value=-1e9), 3, 2)
        x = x + normalised(residual, 3 * block + 3)
    x = f.conv2d(x, weights["conv2d_7/kernel"], weights["conv2d_7/bias"], padding=1)
    return x.mean((2, 3))


def _add(
    weights: Weights, name: str, inputs: int, outputs: int, plain: bool, draw: torch.Generator
) -> None:
    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw) / np.sqrt(np.prod(shape[1:]))

    if plain:
        weights[f"{name}/filters"] = normal(outputs, inputs, 3, 3)
    else:
        weights[f"{name}/depthwise_filter"] = normal(inputs, 1, 3, 3)
        weights[f"{name}/pointwise_filter"] = normal(outputs, inputs, 1, 1)
    weights[f"{name}/bias"] = torch.randn(outputs, generator=draw) / 10


def _convolved(
    x: torch.Tensor, weights: Weights, name: str, stride: int = 1, padding: int = 1
) -> torch.Tensor:
    bias = weights[f"{name}/bias"]
    if f"{name}/filters" in weights:
        return f.conv2d(x, weights[f"{name}/filters"], bias, stride, padding)
    depthwise = weights[f"{name}/depthwise_filter"]
    x = f.conv2d(x, depthwise, None, stride, padding, groups=len(depthwise))
    return f.conv2d(x, weights[f"{name}/pointwise_filter"], bias)


def _saved(weights: Weights, path: Path) -> Weights:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path)
    return weights

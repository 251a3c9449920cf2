"""Reads the weights of face-api's networks, from safetensors or from its npm package's files.

face-api is Vincent Mühler's; @vladmandic/face-api 1.7.15 (MIT) is the package. Its folder `model/`
holds NAME_model-weights_manifest.json and NAME_model.bin, with 8-bit weights. A folder with
NAME.safetensors holds the same weights in float32. Used by face_detector.py and pretrained/.

Axes: H and W of a filter, I inputs, O outputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meld_lightning.errors import UserError, first_line

if TYPE_CHECKING:
    import torch

DETECTOR, EXPRESSION = "tiny_face_detector", "face_expression"
# face-api's name -> name in torch's modules
RENAMED = {
    "depthwise_filter": "depthwise.weight",
    "pointwise_filter": "pointwise.weight",
    "filters": "weight",
    "weights": "weight",
}


def weight_files(folder: Path, name: str) -> list[Path]:
    """The files in `folder` with the weights of network `name`, DETECTOR or EXPRESSION; an empty
    list if there are none."""
    shards = [folder / f"{name}_model-weights_manifest.json", folder / f"{name}_model.bin"]
    for files in ([folder / f"{name}.safetensors"], shards):
        if all(file.is_file() for file in files):
            return files
    return []


def read_face_weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """The weights of a network with torch's names and order of axes.

    Raises UserError if they are missing or cannot be read.
    """
    import torch
    from safetensors.torch import load_file

    files = weight_files(folder, name)
    if not files:
        raise UserError(
            f"checkpoint folder {folder}: neither {name}.safetensors nor"
            f" {name}_model-weights_manifest.json and {name}_model.bin in it, as the folder model/"
            " of the npm package @vladmandic/face-api holds them"
        )
    try:
        if len(files) == 1:
            return {_renamed(key): value for key, value in load_file(files[0]).items()}
        weights = _dequantised(json.loads(files[0].read_text()), files[1].read_bytes())
        return {_renamed(key): torch.from_numpy(value) for key, value in weights.items()}
    except Exception as error:  # safetensors, json, numpy and torch raise errors of their own
        raise UserError(f"{files[0]}: cannot be read ({first_line(error)})") from error


def load_exactly(module: torch.nn.Module, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Loads weights into a module; UserError if their names or shapes are not the module's."""
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"checkpoint folder {folder}: its weights are not those of {type(module).__name__}"
            f" ({reason})"
        ) from error


def _dequantised(manifest: Iterable[dict[str, Any]], content: bytes) -> dict[str, np.ndarray]:
    """The float32 weights in TensorFlow.js's manifest and shard. The shard holds float32, or bytes
    that stand for scale * byte + min. Filters are stored as (H, W, I, O)."""
    weights, start = {}, 0
    for one in (entry for group in manifest for entry in group["weights"]):
        how = one.get("quantization")
        dtype = np.dtype(how["dtype"] if how else one["dtype"]).newbyteorder("<")
        count = int(np.prod(one["shape"]))
        stored = np.frombuffer(content, dtype, count, start).reshape(one["shape"])
        if how:
            stored = stored * np.float32(how["scale"]) + np.float32(how["min"])
        weights[one["name"]] = _as_torch(stored.astype(np.float32), one["name"])
        start += count * dtype.itemsize
    if start != len(content):
        raise ValueError(f"{len(content)} bytes of weights, but the manifest describes {start}")
    return weights


def _as_torch(weight: np.ndarray, name: str) -> np.ndarray:
    """Filters (H, W, I, O) as (O, I, H, W), depthwise ones (H, W, I, 1) as (I, 1, H, W), and the
    weights of a linear layer (I, O) as (O, I)."""
    if weight.ndim == 4:
        order = (2, 3, 0, 1) if name.endswith("depthwise_filter") else (3, 2, 0, 1)
        return np.ascontiguousarray(weight.transpose(order))
    return np.ascontiguousarray(weight.T)


def _renamed(name: str) -> str:
    parent, _, last = name.rpartition("/")
    return f"{parent.replace('/', '.')}.{RENAMED.get(last, last)}"

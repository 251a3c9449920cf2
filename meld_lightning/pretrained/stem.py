"""The convolutions of a speech encoder on one clip, in bf16 on a CPU as fast as it can.

PyTorch computes a bf16 convolution on a CPU with channels last in memory, and copies its input and
output where they come otherwise. For wav2vec2-base these copies took two thirds of the time of all
convolutions, and scoring takes .60 of its time without them (docs/log.md, 2026-11-27). Used by
pretrained/speech.py.

Axes: T samples, C channels, F frames.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional


def convolved(stem: Any, wave_1T: torch.Tensor) -> torch.Tensor:
    """The output (1, C, F) of transformers' feature encoder `stem` for one clip (1, T): computed
    here under autocast on a CPU, by `stem` itself everywhere else."""
    if wave_1T.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return stem(wave_1T)
    # A second channel, of zeros: one channel has the same strides whether it comes first or last,
    # and PyTorch would take it for first.
    hidden_1C1F = _channels_last(functional.pad(wave_1T[:, None], (0, 0, 0, 1)))
    for layer in stem.conv_layers:
        conv: nn.Conv1d = layer.conv
        weight_OCK = conv.weight
        if conv.in_channels == 1:
            weight_OCK = functional.pad(weight_OCK, (0, 0, 0, 1))
        hidden_1C1F = functional.conv2d(
            hidden_1C1F, _channels_last(weight_OCK), conv.bias, stride=(1, *conv.stride)
        )
        hidden_1C1F = layer.activation(_normalised(layer, hidden_1C1F))
    return hidden_1C1F[:, :, 0]


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor (A, B, F) as (A, B, 1, F), channels last in memory."""
    return tensor[:, :, None].contiguous(memory_format=torch.channels_last)


def _normalised(layer: Any, hidden_1C1F: torch.Tensor) -> torch.Tensor:
    """After the layer's norm, if it has one: group norm over time or layer norm over channels."""
    norm = getattr(layer, "layer_norm", None)
    if isinstance(norm, nn.LayerNorm):
        return norm(hidden_1C1F.transpose(1, 3)).transpose(1, 3)
    return hidden_1C1F if norm is None else norm(hidden_1C1F)

"""Models in int8: converts the weights of linear layers to 8-bit integers after loading.

Reads and writes no files: safetensors cannot store torch's quantised weights. Used by loaded.py and
benchmarks/int8_loading.py.
"""

import warnings
from typing import TypeVar

import torch
from torch import nn
from torch.ao.nn.quantized.dynamic import Linear
from torch.ao.quantization import quantize_dynamic

Module = TypeVar("Module", bound=nn.Module)


def quantised(module: Module) -> Module:
    """The module with every nn.Linear replaced by one of int8 weights, for scoring on a CPU.

    Inputs are quantised batch by batch, and outputs are float32 (torch's dynamic quantisation).
    Embeddings, norms and convolutions are not converted. The given module is not changed.
    """
    with warnings.catch_warnings():
        # torch moves quantisation to a package of its own; this version still has it
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
        return quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)


def weight_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers, including those of int8 layers."""
    plain = sum(one.nbytes for one in (*module.parameters(), *module.buffers()))
    packed = 0
    for part in module.modules():
        if isinstance(part, Linear):
            bias = part.bias()
            packed += part.weight().nbytes + (0 if bias is None else bias.nbytes)
    return plain + packed

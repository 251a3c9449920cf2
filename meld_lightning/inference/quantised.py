"""Models in int8: the weights of linear layers as 8-bit integers, made when a model is loaded.

Reads and writes no files: safetensors does not hold torch's quantised weights. Used by loaded.py,
by predictions and by benchmarks/int8_loading.py.
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

    Its inputs are quantised as they come, and it returns float32 (torch's dynamic quantisation).
    Embeddings, norms and convolutions stay as they are. The module that is given is not changed.
    """
    with warnings.catch_warnings():
        # torch moves quantisation to a package of its own; this version still has it
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
        return quantize_dynamic(module, {nn.Linear}, dtype=torch.qint8)


def weight_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers, those of int8 layers included."""
    plain = sum(one.nbytes for one in (*module.parameters(), *module.buffers()))
    packed = 0
    for part in module.modules():
        if isinstance(part, Linear):
            bias = part.bias()
            packed += part.weight().nbytes + (0 if bias is None else bias.nbytes)
    return plain + packed

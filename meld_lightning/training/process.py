"""What a process that trains or fuses sets for itself first: which warnings it shows, how it holds
memory.

Used by training, fusing and the benchmarks.
"""

import ctypes
import logging
import platform
import sys
import warnings

import pytorch_lightning as pl
import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def quieten() -> None:
    """Leaves warnings and our own lines: the libraries' greetings and loading bars say nothing
    about a run."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for library in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    warnings.filterwarnings(
        "ignore", message=".*find_unused_parameters=True was specified.*"
    )  # see _ddp
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
    warnings.filterwarnings(
        "ignore", message=".*`srun` command is available.*"
    )  # on a login node, of a run of its own
    warnings.filterwarnings(
        "ignore", message=".*your dataloader is not resumable.*"
    )  # it is: see RunCheckpoints


def keep_freed_memory() -> None:
    """Tells glibc not to hand freed blocks back: the word embedding's gradient (46 MB for BERT) is
    otherwise mapped and page-faulted anew at every step, a tenth of a MiniLM step on a CPU."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def advise_on_precision(precision: str, trainer: pl.Trainer) -> None:
    """Precision is part of a run's hash and never chosen by the device; what the device would
    rather do is said."""
    device = trainer.strategy.root_device.type
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if trainer.is_global_zero and fast != (precision == "bf16-mixed"):
        other, why = ("bf16", "computes bf16 fast") if fast else ("fp32", "has no fast bf16")
        print(
            f"this device {why}: numerics={other} would train faster (as a run of its own)",
            flush=True,
        )

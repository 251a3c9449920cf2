"""Settings of a process that trains or fuses: the warnings it shows, how it holds memory.

Used by training, fusion and the benchmarks.
"""

import ctypes
import logging
import platform
import sys
import warnings

import pytorch_lightning as pl
import torch

logger = logging.getLogger(__name__)

NOT_APPLYING = (
    ".*find_unused_parameters=True was specified.*",  # on purpose: see training/build.py
    ".*LeafSpec.*",  # Lightning's own use of torch
    ".*`srun` command is available.*",  # on a login node, where this run does not use Slurm
    ".*your dataloader is not resumable.*",  # it is: see LastCheckpoint
    ".*does not have many workers.*",  # a batch is read from memory: workers gain nothing
    ".*overridden `transfer_batch_to_device`.*",  # in Classifier: it works as it should
    ".*GPU available but not used.*",  # machine.accelerator=cpu, or a fusion, which fits on the CPU
)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def quieten() -> None:
    """Hides the libraries' greetings and loading bars, and warnings that do not apply; our own
    messages and all other warnings stay."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for library in ("pytorch_lightning", "lightning_fabric", "lightning.fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    for message in NOT_APPLYING:
        warnings.filterwarnings("ignore", message=message)


def keep_freed_memory() -> None:
    """Makes glibc keep freed blocks. Otherwise the word embedding's gradient (46 MB for BERT) is
    mapped and page-faulted again at every step, a tenth of a MiniLM step on a CPU."""
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def use_full_fp32() -> None:
    """Makes fp32 mean fp32 on CUDA devices: by default torch lets cuDNN compute convolutions of
    fp32 in TF32, whose relative error was 3e-4 on an H200 instead of 7e-7."""
    torch.backends.cudnn.allow_tf32 = False


def is_bf16_fast(device: str) -> bool:
    """Whether this machine's `device` (cpu, cuda, mps) computes in bf16 without emulating it."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def advise_on_precision(precision: str, trainer: pl.Trainer) -> None:
    """Logs which precision would be faster on this device. It is never chosen by the device, since
    it is part of a run's hash."""
    device = trainer.strategy.root_device.type
    fast = is_bf16_fast(device)
    if trainer.is_global_zero and fast != (precision == "bf16-mixed"):
        # bf16 casts all weights at every step: an H200 trained BERT base on 16 short utterances a
        # step at 18.7 steps/s with it, and at 27.2 in fp32 (docs/log.md)
        what = "large models and batches" if fast and device == "cuda" else "models"
        logger.info(
            "numerics=%s would train %s faster on this device; its results differ a little, so it"
            " makes a run of its own",
            "bf16" if fast else "fp32",
            what,
        )

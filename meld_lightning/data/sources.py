"""What a datamodule is given to read, and how a frozen encoder computes the features it caches.

Used by the datamodules; training fills in Sources.
"""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
import transformers
from torch import nn

from meld_lightning.storage.fingerprint import file_digest

if TYPE_CHECKING:
    from meld_lightning.media import Media

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Sources:
    """What a datamodule reads.

    Args:
        table: the corpus table plus an integer column `label`.
        labels: names of the classes.
        corpus_digest: digest of the table.
        media: the decoded clips; None if the datamodule declares `decoded = None`.
        checkpoint: folder of the model's checkpoint; None for a model without one.
        checkpoint_digest: digest of its files; empty without one.
        cache: the folder of all caches.
        device, precision, threads: where and how features of a frozen encoder are computed.
        encoders: frozen encoders that were made already, by name, for whoever makes several
            datamodules over the same checkpoint.
    """

    table: pd.DataFrame
    labels: tuple[str, ...]
    corpus_digest: str
    media: Media | None
    checkpoint: Path | None
    checkpoint_digest: str
    cache: Path
    device: torch.device
    precision: str
    threads: int
    encoders: dict[str, nn.Module] = field(default_factory=dict)

    def encoder(self, name: str, make: Callable[[], nn.Module]) -> Any:
        """The frozen encoder `name` on this device and in eval mode; `make` is called once."""
        if name not in self.encoders:
            self.encoders[name] = make().to(self.device).eval()
        return self.encoders[name]

    def encoder_settings(self) -> dict[str, Any]:
        """What the features of any frozen encoder depend on, to their last bit: a part of a cache
        key."""
        return {
            "checkpoint": self.checkpoint_digest,
            "precision": self.precision,
            "threads": self.threads,
            "device": device_kind(self.device),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Within the block torch computes without gradients, in this precision and with this many
        threads."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        bf16 = torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"
        )
        try:
            with torch.inference_mode(), bf16:
                yield
        finally:
            torch.set_num_threads(threads)


def device_kind(device: torch.device) -> str:
    """The hardware as far as it decides how numbers are rounded: a GPU's name, or a CPU's
    architecture and vector instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"cpu {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return f"{device.type} {platform.machine()}"


def encoder_identity(encoder: partial) -> dict[str, Any]:
    """The class or function that a config names as an encoder, its arguments, and the digest of its
    source file if it is not ours.

    Our own classes have no digest: whoever changes what they compute raises the version of the
    datamodule that caches it.
    """
    source = Path(inspect.getfile(encoder.func)).resolve()
    return {
        "name": encoder.func.__qualname__,
        "arguments": {"positional": list(encoder.args), **encoder.keywords},
        "source": None if source.is_relative_to(PACKAGE) else file_digest(source),
    }

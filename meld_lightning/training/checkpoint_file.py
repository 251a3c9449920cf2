"""Writes checkpoints so that a failure has its reason and no second copy is made.

Used by the callbacks, the Trainer and fit.py.
"""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO


class CheckpointFile(TorchCheckpointIO):
    """Writes a checkpoint straight to its path: Lightning's own writer needs memory and room in
    TMPDIR for a second copy."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        save_tensors(checkpoint, Path(path))


def save_tensors(value: Any, path: Path) -> None:
    """torch.save to a Python file, whose OSError gives the reason of a failure; torch's own does
    not."""
    with path.open("wb") as file:
        torch.save(value, file)

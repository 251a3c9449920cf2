"""Writes checkpoints so that a failure has its reason and no second copy is made, and reads the
weights of a finished run.

Used by the callbacks, the Trainer, fit.py, warm_start.py and inference.
"""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from meld_lightning.errors import UserError
from meld_lightning.runs.result import AGAIN


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
    # Checksums take most of a save's time, and torch.load does not check them.
    torch.serialization.set_crc32_options(False)
    with path.open("wb") as file:
        torch.save(value, file)


def best_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of the epoch that val chose, from a run's folder; UserError if they are not there
    or cannot be read."""
    path = folder / "checkpoints" / "best.ckpt"
    if not path.is_file():
        raise UserError(
            f"{folder}: no checkpoints/best.ckpt there, as in the evidence of a study, which keeps"
            " no weights; name the folder that the training wrote, or train it again"
        )
    try:
        weights: dict[str, torch.Tensor] = torch.load(path, weights_only=True, map_location="cpu")[
            "state_dict"
        ]
    except Exception as error:  # torch raises many kinds for a damaged file
        said = " ".join(str(error).split())
        raise UserError(f"{path}: damaged ({said[:200]}); {AGAIN}") from error
    return weights

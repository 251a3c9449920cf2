"""The files of a checkpoint folder that determine the model.

Reads folders as save_pretrained writes them; used by checkpoints.py and find.py.
"""

import fnmatch
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from meld_lightning.errors import UserError
from meld_lightning.media.face_weights import DETECTOR, EXPRESSION, weight_files

SAFETENSORS = ("*.safetensors", "*.safetensors.index.json")
# transformers reads these with weights_only=True
PICKLED = ("pytorch_model*.bin", "pytorch_model*.bin.index.json")
XCEPTION = "model.safetensors"  # of mini_XCEPTION, without a config.json
# Checkpoints of these tasks have no classification head; what they have of it (ModernBERT's dense
# layer) is pretrained.
PRETRAINING = ("Model", "ForMaskedLM", "ForPreTraining", "LMHeadModel", "ForCausalLM")
# What from_pretrained reads besides the weights. A README makes no difference, so that the digest
# leaves it out.
SETTINGS = (
    "config.json",
    "*token*.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*processor_config.json",
)


def model_files(folder: Path) -> list[Path]:
    """The files in `folder` that determine the model, sorted by name: config, weights, tokenizer
    and preprocessing.

    As in transformers, pickled weights are ignored if there are safetensors. Raises UserError
    without a config.json or without weights; the face networks that are written here need no
    config.json.
    """
    if not (folder / "config.json").is_file():
        if faces := face_files(folder):
            return faces
        raise UserError(
            f"checkpoint folder {folder}: no config.json in it; expected what save_pretrained"
            " writes"
        )
    present = sorted(path for path in folder.iterdir() if path.is_file())
    for weights in (SAFETENSORS, PICKLED):
        if matching(present, weights):
            return matching(present, SETTINGS + weights)
    raise UserError(
        f"checkpoint folder {folder}: no weights in it; expected model.safetensors (or"
        " pytorch_model.bin)"
    )


def face_files(folder: Path) -> list[Path]:
    """The weights of face networks in a folder without a config.json, sorted by name."""
    found = weight_files(folder, DETECTOR) + weight_files(folder, EXPRESSION)
    return sorted(found + ([folder / XCEPTION] if has_xception(folder) else []))


def has_xception(folder: Path) -> bool:
    """Whether a folder holds the weights of mini_XCEPTION by its names of layers in Keras."""
    if not (folder / XCEPTION).is_file() or (folder / "config.json").is_file():
        return False
    try:
        with safe_open(folder / XCEPTION, "np") as file:
            return "separable_conv2d_8/depthwise_kernel" in file.keys()  # noqa: SIM118
    except SafetensorError:
        return False


def task_of_head(folder: Path) -> str | None:
    """The class whose head the checkpoint has, such as BertForSequenceClassification; None if
    config.json names none."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    task = str((config.get("architectures") or ["Model"])[0])
    return None if task.endswith(PRETRAINING) else task


def matching(files: Iterable[Path], patterns: Sequence[str]) -> list[Path]:
    """The files whose names match one of the patterns, sorted."""
    return sorted(
        file
        for file in files
        if any(fnmatch.fnmatchcase(file.name, pattern) for pattern in patterns)
    )

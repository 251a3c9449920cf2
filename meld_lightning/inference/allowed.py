"""Which classes the config of a run folder or of an export may name, for it may come from anybody.

Reads the config and source files; imports nothing. Used by loaded.py before it makes a model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from meld_lightning.config.ancestry import derives_from, has_arguments
from meld_lightning.errors import UserError

# node -> what its class derives from
BASES = {
    "model": "meld_lightning.models.classifier.Classifier",
    "data": "meld_lightning.data.datamodule.CorpusDataModule",
}
MODULES = ("torch.nn.Module", "torch.nn.modules.module.Module")  # of what those classes are given
ENCODER = ("checkpoint", "size")  # arguments of a function that makes one: data/video.py
# A loaded model is not trained, so that the optimizer which its config names is never imported
OPTIMIZER = {"_target_": "torch.optim.SGD", "_partial_": True}


def checked(config: DictConfig, folder: Path, has_checkpoint: bool) -> DictConfig:
    """The config of the run in `folder`, with nothing in it that must not be instantiated.

    Its model has to derive from Classifier, its data from CorpusDataModule, and what these are
    given from torch.nn.Module; all of them are classes of this package or lie on Python's path,
    outside of `folder`. has_checkpoint: whether the model's checkpoint was found; without one, the
    config must not name one, which would be downloaded. Raises UserError.
    """
    for name, base in BASES.items():
        stored = config.get(name)
        node = OmegaConf.to_container(stored) if isinstance(stored, DictConfig) else {}
        if not isinstance(node, Mapping) or "_target_" not in node:
            raise UserError(f"{folder}: its config has no {name}._target_; expected a class")
        target = str(node["_target_"])
        if not derives_from(target, [base], folder):
            raise _refusal(folder, f"{name}._target_", target, base)
        for key, inner in _targets({**node, "_target_": None}, name):
            if not (derives_from(inner, MODULES, folder) or has_arguments(inner, ENCODER, folder)):
                raise _refusal(folder, key, inner, MODULES[0])
    if not has_checkpoint and config.model.get("checkpoint") is not None:
        raise UserError(
            f"{folder}: its config names the checkpoint {config.model.checkpoint}, which is not in"
            " the folder; export it again"
        )
    return OmegaConf.create({**config, "optimizer": OPTIMIZER})


def _targets(node: Any, where: str) -> list[tuple[str, str]]:
    """(key, value) of every `_target_` inside a node."""
    if isinstance(node, list):
        return [
            one for place, inner in enumerate(node) for one in _targets(inner, f"{where}.{place}")
        ]
    if not isinstance(node, Mapping):
        return []
    found = [one for key, inner in node.items() for one in _targets(inner, f"{where}.{key}")]
    if node.get("_target_") is not None:
        found.append((f"{where}._target_", str(node["_target_"])))
    return found


def _refusal(folder: Path, key: str, target: str, base: str) -> UserError:
    return UserError(
        f"{folder}: {key} {target} cannot be made; expected a class that derives from {base}, found"
        " outside of that folder: put the folder of a class of your own on PYTHONPATH"
    )

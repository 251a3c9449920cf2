"""Writes a model's weights without pickles: a checkpoint folder that transformers loads, and a file
with all other weights.

Writes checkpoint/ and model.safetensors. Used by export/folder.py and LoadedModel.save_pretrained.

A fine-tuned transformers model is written to checkpoint/ with its new weights, so that they are
stored once and plain transformers can load them. The checkpoint of a frozen model is copied.
model.safetensors holds every weight that a model made from this checkpoint would not have.
"""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel
from transformers.utils import logging as library_logging

from meld_lightning.errors import UserError
from meld_lightning.models.classifier import Classifier
from meld_lightning.pretrained.files import SAFETENSORS, SETTINGS, matching, model_files
from meld_lightning.pretrained.loading import load_weights

WEIGHTS, CHECKPOINT = "model.safetensors", "checkpoint"
Weights = dict[str, torch.Tensor]
Rebuild = Callable[[Path], Classifier]  # a model made from a checkpoint folder, with another seed


def write_weights(
    module: Classifier,
    checkpoint: Path | None,
    labels: tuple[str, ...],
    folder: Path,
    remade: Rebuild,
) -> None:
    """Writes WEIGHTS and, for a model with a checkpoint, CHECKPOINT into `folder`.

    checkpoint: the folder of the pretrained weights that the model was trained from.
    """
    state = module.state_dict()
    inner = transformers_model(module)
    if checkpoint is None or inner is None:
        if checkpoint is not None:  # a frozen encoder, whose features the datamodule computes
            copy_checkpoint(checkpoint, folder / CHECKPOINT)
        save(state, folder / WEIGHTS)
        return
    name, model = inner
    own = {key for key in state if not key.startswith(f"{name}.")}
    if not differing(state, remade(checkpoint)) - own:
        copy_checkpoint(checkpoint, folder / CHECKPOINT)
        save({key: state[key] for key in own}, folder / WEIGHTS)
        return
    write_fine_tuned(model, checkpoint, labels, folder / CHECKPOINT)
    try:
        own |= differing(state, remade(folder / CHECKPOINT))
    except UserError:  # half of an encoder-decoder is not a checkpoint of its own
        shutil.rmtree(folder / CHECKPOINT)
        copy_checkpoint(checkpoint, folder / CHECKPOINT)
        own = set(state)
    save({key: state[key] for key in own}, folder / WEIGHTS)


def transformers_model(module: Classifier) -> tuple[str, PreTrainedModel] | None:
    """The outermost model of transformers inside a module, and its name there."""
    for name, part in module.named_modules():  # the outer ones come first
        if isinstance(part, PreTrainedModel):
            return name, part
    return None


def differing(state: Weights, other: Classifier) -> set[str]:
    """The names of the weights that `other` does not have, or has with another value."""
    others = other.state_dict()
    return {
        key
        for key, value in state.items()
        if key not in others or not torch.equal(value, others[key])
    }


def write_fine_tuned(
    model: PreTrainedModel, checkpoint: Path, labels: tuple[str, ...], folder: Path
) -> None:
    """The model as save_pretrained writes it, with the tokenizer or processor of the checkpoint
    that it was trained from. A head with one output per label carries the labels' names."""
    config: Any = model.config
    before = config.id2label, config.label2id
    if getattr(config, "num_labels", 0) == len(labels) and _has_head(model):
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: place for place, label in enumerate(labels)}
    try:
        with quiet():
            model.save_pretrained(folder)
    finally:
        config.id2label, config.label2id = before
    weights = {path.name for path in matching(checkpoint.iterdir(), SAFETENSORS)}
    for path in matching(model_files(checkpoint), SETTINGS):
        if path.name != "config.json" and path.name not in weights:
            shutil.copyfile(path, folder / path.name)
    _remove_paths(folder)


def copy_checkpoint(checkpoint: Path, folder: Path) -> None:
    """The files of a checkpoint that determine the model; pickled weights become safetensors."""
    folder.mkdir(parents=True)
    files = model_files(checkpoint)
    for path in matching(files, SETTINGS + SAFETENSORS):
        shutil.copyfile(path, folder / path.name)
    if not matching(files, SAFETENSORS):
        save(load_weights(checkpoint), folder / WEIGHTS)
    _remove_paths(folder)


def save(weights: Weights, path: Path) -> None:
    """Writes safetensors that transformers can read; shared tensors are stored separately."""
    apart = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    save_file(apart, path, {"format": "pt"})


def _has_head(model: PreTrainedModel) -> bool:
    return type(model).__name__.endswith("Classification")


def _remove_paths(folder: Path) -> None:
    """Removes this machine's paths (`_name_or_path` and the like), which nothing reads, from the
    JSON files of a checkpoint."""
    for path in folder.glob("*.json"):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            continue
        kept = {key: value for key, value in found.items() if not _is_path(key, value)}
        if kept != found:
            path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _is_path(key: str, value: Any) -> bool:
    named = key.endswith(("_path", "_file", "_dir"))
    return named and isinstance(value, str) and Path(value).is_absolute()


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block, transformers shows no progress bars, and messages that matter only for
    training, such as that of a new head, are not logged."""
    ours = logging.getLogger("meld_lightning.pretrained.text")
    level, verbosity = ours.level, library_logging.get_verbosity()
    bars = library_logging.is_progress_bar_enabled()
    ours.setLevel(logging.WARNING)
    library_logging.set_verbosity_error()
    library_logging.disable_progress_bar()
    try:
        yield
    finally:
        ours.setLevel(level)
        library_logging.set_verbosity(verbosity)
        if bars:
            library_logging.enable_progress_bar()

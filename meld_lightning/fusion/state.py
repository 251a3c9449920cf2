"""A fitted fusion on disk: saved beside its run, loaded anywhere without the runs it was fitted on.

Writes fitted_fusion.json (method, settings, modalities and labels in their order) and
fitted_fusion.safetensors (every fitted array) into the run's folder. Used by fit.py, which saves,
and by whoever scores new logits with a fusion.
"""

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from meld_lightning.config.ancestry import derives_from
from meld_lightning.errors import UserError
from meld_lightning.fusion.method import Fusion
from meld_lightning.storage.atomic import atomic_write, write_json
from meld_lightning.storage.fingerprint import file_digest
from meld_lightning.storage.json_files import read_json

DESCRIPTION, ARRAYS = "fitted_fusion.json", "fitted_fusion.safetensors"
LARGEST = 1e30  # of an array's values: far above any fit's, far below what overflows in float64
FORMAT = 1  # raised when the two files change their meaning
# Our methods are saved by class name, so that their files may move; others by their import path.
# Imported when one is loaded: some need Lightning, and a report that loads none does without.
METHODS = {
    "Alone": "meld_lightning.fusion.alone",
    "Average": "meld_lightning.fusion.average",
    "Single": "meld_lightning.fusion.likelihood_ratio",
    "Searched": "meld_lightning.fusion.searched",
    "Learned": "meld_lightning.fusion.learned",
    "Matrix": "meld_lightning.fusion.matrix",
    "Stacked": "meld_lightning.fusion.stacked",
    "Embeddings": "meld_lightning.fusion.embeddings",
}


def save_fusion(fusion: Fusion, folder: Path) -> None:
    """Writes a fitted fusion into `folder`."""
    from safetensors.numpy import save

    with atomic_write(folder / ARRAYS) as fresh:
        fresh.write_bytes(save({name: array.copy() for name, array in fusion.arrays().items()}))
    described = {
        "format": FORMAT,
        "method": _name_of(type(fusion)),
        "settings": _settings(fusion),
        "modalities": fusion.modalities,
        "labels": fusion.labels,
        "sha256": file_digest(folder / ARRAYS),
    }
    write_json(folder / DESCRIPTION, described)


def load_fusion(folder: str | Path) -> Fusion:
    """The fitted fusion that `save_fusion` wrote into `folder`.

    It gives the same log-scores, to the last bit, as the one that was saved. Its `modalities` and
    `labels` name the axes of the batches it is called on.

    Raises UserError where there is none, or where a file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    for name in (DESCRIPTION, ARRAYS):
        if not (folder / name).is_file():
            raise UserError(
                f"{folder}: no fitted fusion there, {name} is missing; name the folder of a fusion"
                " run, or delete it and fuse again if the run is older than this file"
            )
    try:
        described = read_json(folder / DESCRIPTION)
        if described["format"] != FORMAT:
            raise UserError(
                f"{folder / DESCRIPTION}: format {described['format']}, expected {FORMAT}; fuse"
                " again with this version"
            )
        if file_digest(folder / ARRAYS) != described["sha256"]:
            raise ValueError(f"{ARRAYS} is not the file that was saved with it")
        fusion = _method(str(described["method"]), folder)(**described["settings"])
        fusion.modalities = _names(described["modalities"])
        fusion.labels = _names(described["labels"])
        arrays = load_file(folder / ARRAYS)
        _check_shapes(arrays, len(fusion.modalities), len(fusion.labels))
        _check_values(arrays)
        fusion.restore(arrays)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise UserError(
            f"{folder / DESCRIPTION}: damaged ({error}); delete the folder and fuse again"
        ) from error
    return fusion


def _names(names: Any) -> tuple[str, ...]:
    if not (isinstance(names, list) and names and all(isinstance(one, str) for one in names)):
        raise ValueError(f"{names!r}, expected a list of names")
    return tuple(names)


def _check_shapes(arrays: Mapping[str, np.ndarray], modalities: int, classes: int) -> None:
    """ValueError unless each array has the axes that its name ends in, M or C."""
    length = {"M": modalities, "C": classes}
    for name, array in arrays.items():
        axes = name.rpartition("_")[2]
        if not axes or set(axes) - set(length):
            continue
        expected = tuple(length[axis] for axis in axes)
        if array.shape != expected:
            raise ValueError(f"{name} has the shape {array.shape}, expected {expected}")


def _check_values(arrays: Mapping[str, np.ndarray]) -> None:
    """ValueError unless all values are finite and small enough for scores not to overflow."""
    for name, array in arrays.items():
        if not (np.abs(array.astype(np.float64)) <= LARGEST).all():  # NaN is not, either
            raise ValueError(f"{name} holds a value that is not finite or above {LARGEST:g}")


def _settings(fusion: Fusion) -> dict[str, Any]:
    """The arguments of the fusion's constructor, each kept under its own name."""
    names = [name for name in inspect.signature(type(fusion).__init__).parameters if name != "self"]
    missing = [name for name in names if not hasattr(fusion, name)]
    if missing:
        raise UserError(
            f"{type(fusion).__name__}: cannot be saved; its constructor has to keep the argument"
            f" {missing[0]} as self.{missing[0]}"
        )
    values = {name: getattr(fusion, name) for name in names}
    settings = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    assert isinstance(settings, dict)
    return {str(name): value for name, value in settings.items()}


def _name_of(method: type[Fusion]) -> str:
    ours = METHODS.get(method.__name__) == method.__module__
    return method.__name__ if ours else f"{method.__module__}.{method.__qualname__}"


def _method(name: str, outside: Path) -> type[Fusion]:
    """The class that a description names; its source does not lie in the folder `outside`."""
    if name in METHODS:
        ours: type[Fusion] = getattr(importlib.import_module(METHODS[name]), name)
        return ours
    base = f"{Fusion.__module__}.{Fusion.__qualname__}"
    if not derives_from(name, [base], outside):  # before it is imported: anybody may have named it
        raise UserError(
            f"fusion method {name}: no subclass of {Fusion.__name__} of that name is found; put its"
            " folder on PYTHONPATH"
        )
    module, _, attribute = name.rpartition(".")
    try:
        found: type[Fusion] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"fusion method {name} cannot be imported ({error}); put its folder on PYTHONPATH"
        ) from error
    return found

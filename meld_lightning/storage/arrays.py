"""Arrays that are computed once and then read memory-mapped: token ids, image embeddings, pooled
speech features.

Writes <folder>/<key>/{NAME.npy..., manifest.json last}, where the key is a digest of everything the
arrays depend on. Used by the datamodules.
"""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from meld_lightning.errors import UserError
from meld_lightning.storage.atomic import atomic_folder, json_text
from meld_lightning.storage.fingerprint import digest_of, file_digest
from meld_lightning.storage.once import ReadOnlyFolder, made_once

log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


def cached_arrays(folder: Path, settings: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
    """The arrays for `settings` (JSON-able, everything they depend on), computed by `make` if they
    are not cached yet.

    If several processes ask at once, one computes and the others wait. If the cache is read-only,
    the arrays are computed for this process and not kept. Raises UserError for a file that changed
    since it was written.
    """
    target = folder / digest_of(settings, 16)
    try:
        made_once(
            Path(f"{target}.lock"),
            (target / "manifest.json").is_file,
            lambda: _write(target, settings, make()),
        )
    except ReadOnlyFolder as error:
        log.info("%s: %s; its arrays are computed for this run alone", folder, error.strerror)
        return make()
    return _read(target)


def _read(target: Path) -> Arrays:
    try:
        digests = json.loads((target / "manifest.json").read_text())["sha256"]
        for name, sha256 in digests.items():
            if file_digest(target / f"{name}.npy") != sha256:
                raise UserError(
                    f"{target / name}.npy: changed since it was written; delete {target} and run"
                    " again"
                )
        return {
            name: np.load(target / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in digests
        }
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{target}: cannot be read ({error}); delete it and run again") from error


def _write(target: Path, settings: Mapping[str, Any], arrays: Arrays) -> None:
    with atomic_folder(target) as fresh:
        for name, array in arrays.items():
            np.save(fresh / f"{name}.npy", array, allow_pickle=False)
        digests = {name: file_digest(fresh / f"{name}.npy") for name in arrays}
        (fresh / "manifest.json").write_text(json_text({**settings, "sha256": digests}))

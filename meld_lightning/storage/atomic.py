"""Atomic writes: a file or folder appears under its name complete, or not at all, even if the
machine loses power.

Writes to .NAME.<8 hex>.tmp beside the target, waits until that is on the disk, renames it, and
waits until the new name is on the disk, too. A full or failing disk becomes a one-line UserError.
Used wherever a cache or a run is written.
"""

import csv
import errno
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from meld_lightning.errors import UserError

FREE_SPACE = "free some space and run the command again: finished work is kept"
RAISE_LIMIT = "raise ulimit -f and run the command again: finished work is kept"
CHECK_DISK = "check the disk and run the command again: finished work is kept"
# the system's numbers of errors that are the disk's, and what to do about each
REMEDIES = {
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EFBIG: RAISE_LIMIT,
    errno.EIO: CHECK_DISK,
    errno.ESTALE: CHECK_DISK,  # a network file system lost the file
}
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)  # of a file system that does not sync folders


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """A temporary path to write to. It replaces `target` if the block succeeds, and is removed if
    it raises."""
    fresh = beside(target)
    try:
        with writing(target):
            yield fresh
            put_in_place(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)


def put_in_place(fresh: Path, target: Path) -> None:
    """Renames the file `fresh` to `target`, once it is on the disk; returns once the name is."""
    _sync(fresh)
    fresh.replace(target)
    _sync_folder(target.parent)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A temporary folder to write into. It replaces `target` if the block succeeds, and is removed
    if it raises.

    Only one process at a time may write a target: the caller holds a lock. Leftovers of writers
    that were killed are removed first.
    """
    remove_leftovers(target.parent, target.name)
    fresh = beside(target)
    try:
        with writing(target):
            fresh.mkdir(parents=True)
            yield fresh
            for folder, _, names in os.walk(fresh):
                for name in names:
                    _sync(Path(folder, name))
                _sync_folder(Path(folder))
            stale = beside(target)
            if target.exists():  # a folder cannot be replaced in one step
                target.rename(stale)
            fresh.rename(target)
            _sync_folder(target.parent)
            shutil.rmtree(stale, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write_json(path: Path, value: Any, *, sort_keys: bool = True) -> None:
    """Writes JSON atomically."""
    write_text(path, json_text(value, sort_keys=sort_keys))


def json_text(value: Any, *, sort_keys: bool = True) -> str:
    """A JSON document as `write_json` writes it, for files inside an `atomic_folder`."""
    return json.dumps(value, indent=1, sort_keys=sort_keys) + "\n"


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically; a line ends in LF on every system."""
    with atomic_write(path) as fresh:
        fresh.write_text(text, encoding="utf-8", newline="\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows with the same keys as CSV, header first, atomically."""
    with atomic_write(path) as fresh, fresh.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Removes temporary files that killed writers left in `folder`: those of target `name`, or all.

    Nobody may be writing to the target at the same time.
    """
    for path in leftovers(folder, name):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def leftovers(folder: Path, name: str | None = None) -> list[Path]:
    """The temporary files and folders in `folder`: those of target `name`, or all."""
    ours = re.compile(rf"\.{re.escape(name) if name else '.+'}\.[0-9a-f]{{8}}\.tmp")
    inside = folder.iterdir() if folder.is_dir() else ()
    return [path for path in inside if ours.fullmatch(path.name)]


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turns an error of a full or failing disk, in whatever form a library raises it, into a
    UserError that names `target`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if (reason := disk_error(error)) is None:
            raise
        raise UserError(f"{target}: {reason}") from error


def disk_error(error: BaseException | None) -> str | None:
    """The system's message and the remedy if `error`, or one that caused it, means a full or
    failing disk, else None.

    torch raises a RuntimeError caused by the OSError; libraries written in Rust (safetensors,
    tokenizers) raise an exception whose text ends in the error number; numpy raises an OSError
    without a number.
    """
    while error is not None:
        number = error.errno if isinstance(error, OSError) else None
        if match := re.search(r"\(os error (\d+)\)$", str(error)):
            number = int(match[1])
        elif isinstance(error, OSError) and re.fullmatch(
            r"\d+ requested and \d+ written", str(error)
        ):
            number = errno.ENOSPC
        if number in REMEDIES:
            return f"{os.strerror(number)}; {REMEDIES[number]}"
        error = error.__cause__ or error.__context__
    return None


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _sync_folder(path: Path) -> None:
    """Waits until the names in a folder are on the disk, where its file system can say so."""
    try:
        _sync(path)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def beside(target: Path) -> Path:
    """A temporary name for what is to become `target`; `leftovers` finds it."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")

"""Files and folders that appear under their name whole or not at all; a disk that is full is told
in one line.

Writes beside that name, as .NAME.<8 hex>.tmp. Used wherever a cache or a run is written.
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

REMEDY = "make room and run it again: what is finished is kept"
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """A fresh path to write to, which takes the place of `target` if the block ends well and is
    removed if not."""
    fresh = _beside(target)
    try:
        with writing(target):
            yield fresh
            fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A fresh folder to write into, which takes the place of `target` if the block ends well and is
    removed if not.

    One process at a time may write a target (its lock is the caller's): what a killed one left is
    removed first.
    """
    remove_leftovers(target.parent, target.name)
    fresh = _beside(target)
    try:
        with writing(target):
            fresh.mkdir(parents=True)
            yield fresh
            stale = _beside(target)
            if target.exists():  # a folder cannot be replaced in one step
                target.rename(stale)
            fresh.rename(target)
            shutil.rmtree(stale, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically."""
    with atomic_write(path) as fresh:
        fresh.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows of equal keys atomically, with a header."""
    with atomic_write(path) as fresh, fresh.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Removes what writers that were killed left in `folder`, of target `name` or of all; nobody
    may be writing one."""
    ours = re.compile(rf"\.{re.escape(name) if name else '.+'}\.[0-9a-f]{{8}}\.tmp")
    for path in folder.iterdir() if folder.is_dir() else ():
        if ours.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(
                missing_ok=True
            )


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """UserError that names `target` where the block finds the disk full, in whatever words its
    library says so."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if (reason := full_disk(error)) is None:
            raise
        raise UserError(f"{target}: {reason}; {REMEDY}") from error


def full_disk(error: BaseException | None) -> str | None:
    """The system's words if `error`, or one that led to it, is of a full disk or quota; None if it
    is of anything else.

    torch raises a RuntimeError after the OSError, what is written in Rust (safetensors, tokenizers)
    an exception that only ends in the number, and numpy an OSError without one.
    """
    while error is not None:
        number = error.errno if isinstance(error, OSError) else None
        if told := re.search(r"\(os error (\d+)\)$", str(error)):
            number = int(told[1])
        elif isinstance(error, OSError) and re.fullmatch(
            r"\d+ requested and \d+ written", str(error)
        ):
            number = errno.ENOSPC
        if number in _FULL:
            return os.strerror(number)
        error = error.__cause__ or error.__context__
    return None


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")

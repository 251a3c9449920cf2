"""fetched.json: where everything in a copy of MELD came from.

It holds the terms that were accepted, and address, size and sha256 of the archive and the CSV
files. While a downloaded archive is not unpacked yet, `download` has its address and size, by which
the next call recognises a file that it may remove. Used by meld.py.
"""

import json
from pathlib import Path
from typing import Any

from meld_lightning.storage.atomic import write_json


def read_record(folder: Path) -> dict[str, Any]:
    """What fetched.json holds; nothing where it is missing or damaged."""
    try:
        found = json.loads(_path(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def note(folder: Path, **entries: Any) -> None:
    """Adds the entries to fetched.json; None removes one."""
    known = read_record(folder) | entries
    write_json(_path(folder), {key: value for key, value in known.items() if value is not None})


def downloaded_from(archive: Path) -> str | None:
    """The address that an earlier call downloaded `archive` from; None for a file of the user's, or
    without a file."""
    known = read_record(archive.parent).get("download")
    if not isinstance(known, dict) or not archive.is_file():
        return None
    return str(known["from"]) if known.get("size") == archive.stat().st_size else None


def _path(folder: Path) -> Path:
    return folder / "fetched.json"

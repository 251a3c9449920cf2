"""Chooses the cache folder for the decoded clips of a corpus.

Two manifests may have the same ids and settings but different clips. Each gets its own folder:
<cache>/media/<name>-<8 hex>, then the same with ".2", ".3" and so on. A folder belongs to a corpus
if its settings.json records the same paths of clips, or else if at least half of its clips are the
same files by name and size: a corpus that was moved together with its cache finds its folder again.

Reads these folders; writes their settings.json. Used by store.py.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from meld_lightning.media.chunks import KINDS, kinds_in, read_chunk
from meld_lightning.storage.atomic import remove_leftovers, write_json
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.storage.once import ReadOnlyFolder, locked

Rows = Sequence[Mapping[str, Any]]  # {key, frames, audio}: the files of a row, or None


def claim_folder(base: Path, rows: Rows, settings: Mapping[str, Any]) -> Path:
    """The folder to decode the clips of `rows` into; created if there is none.

    base: the first folder that is tried.
    settings: the media settings, recorded for information.
    """
    folder = _find(base, rows)
    if folder is not None and _is_claimed(folder, rows):
        return folder
    try:
        with locked(base.with_name(f"{base.name}.lock")):
            folder = _find(base, rows) or next(one for one in _numbered(base) if not one.exists())
            folder.mkdir(exist_ok=True)
            remove_leftovers(folder, "settings.json")
            write_json(folder / "settings.json", {**settings, "clips": _claim(rows)})
    except ReadOnlyFolder:  # decoded clips can still be read
        return folder or base
    return folder


def find_folder(base: Path, rows: Rows) -> Path:
    """The folder that holds the decoded clips of `rows`; `base` if none does."""
    return _find(base, rows) or base


def _find(base: Path, rows: Rows) -> Path | None:
    folders = list(itertools.takewhile(Path.is_dir, _numbered(base)))
    claimed = (folder for folder in folders if _is_claimed(folder, rows))
    fitting = (folder for folder in folders if _fits(folder, rows))
    return next(itertools.chain(claimed, fitting), None)


def _numbered(base: Path) -> Iterator[Path]:
    yield base
    for number in itertools.count(2):
        yield base.with_name(f"{base.name}.{number}")


def _is_claimed(folder: Path, rows: Rows) -> bool:
    return _recorded_claim(folder) == _claim(rows)


def _recorded_claim(folder: Path) -> str | None:
    """The digest that `_claim` recorded; None in a damaged folder or an earlier version's."""
    try:
        return dict(json.loads((folder / "settings.json").read_text())).get("clips")
    except (OSError, ValueError):
        return None


def _claim(rows: Rows) -> str:
    """A digest of the paths of the clips."""
    return digest_of([[row[kind] for kind in KINDS] for row in rows])


def _fits(folder: Path, rows: Rows) -> bool:
    """Whether at least half of the clips decoded in `folder` are those of `rows`, or none is
    decoded and no corpus has claimed the folder."""
    wanted = {row["key"]: row for row in rows}
    same = other = 0
    for chunk in folder.glob("[0-9]*"):
        for entry in read_chunk(chunk) or ():
            for kind in kinds_in(entry):
                known, path = entry[kind]["source"], wanted.get(entry["key"], {}).get(kind)
                if known is not None and path is not None:
                    is_same = _is_same(Path(path), known)
                    same, other = same + is_same, other + (not is_same)
                elif known is not None:
                    other += 1
    if same or other:
        return same >= other
    return _recorded_claim(folder) is None


def _is_same(path: Path, known: Mapping[str, Any]) -> bool:
    return path.is_file() and (path.name, path.stat().st_size) == (known["name"], known["size"])

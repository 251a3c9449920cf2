"""A chunk: the decoded clips of consecutive rows, with one file of frames, one of sound and, where
media.keep names them, one of faces.

Writes <folder>/<number>/{frames.npy, audio.npy, faces.npy, manifest.json} atomically. Used by
store.py, which manages the chunks of a corpus.
"""

import json
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meld_lightning.media.pool import Pool
from meld_lightning.storage.atomic import atomic_folder
from meld_lightning.storage.fingerprint import Fingerprint, file_digest

KINDS = ("frames", "audio", "faces")
SIZES = {
    "frames": "size",
    "faces": "face_size",
}  # of pictures: the setting with their pixels a side
BLOCK = 1 << 24
# Raise it when some clips are decoded differently or reported with more: `prepare` then decodes all
# of them again, and runs move only where the arrays did.
DECODING_VERSION = 2

# one row: key, the version of decoding and, for each kind, {source, start, count, crc, reason}; see
# also worker.decode
Entry = dict[str, Any]


def write_chunk(
    target: Path,
    wanted: Sequence[dict[str, Any]],
    settings: dict[str, Any],
    pool: Pool,
    on_clip: Callable[[], object] = lambda: None,
) -> None:
    """Decodes the clips of `wanted` into the chunk `target`.

    wanted: one {key, frames: path or None, audio: path or None} per row, with {part: [start, end]}
        in seconds where only a part of the clip is wanted.
    settings: conf/media.
    on_clip: called after each clip.
    """
    with atomic_folder(target) as fresh:
        parts = fresh / "parts"
        parts.mkdir()
        jobs = [_job(row, parts / str(place), settings) for place, row in enumerate(wanted)]
        kinds = kinds_of(settings)
        paths = {row[kind] for row in wanted for kind in kinds if row[kind] is not None}
        before = {path: _stamp(path) for path in paths}
        answers = {}
        for job, answer in pool.map(job for job in jobs if job["sources"]):
            answers[Path(job["out"]).name] = answer
            on_clip()
        entries: list[Entry] = [{"key": row["key"], "decoding": DECODING_VERSION} for row in wanted]
        found = {
            kind: [
                _found(row, kind, answers.get(str(place), {})) for place, row in enumerate(wanted)
            ]
            for kind in kinds
        }
        decoded = {
            row[kind]
            for kind in kinds
            for row, one in zip(wanted, found[kind], strict=True)
            if one["count"]
        }
        known = {path: _describe(path, before[path], path in decoded) for path in paths}
        for kind in kinds:
            _gather(fresh / f"{kind}.npy", kind, settings, parts, found[kind])
            for entry, row, one in zip(entries, wanted, found[kind], strict=True):
                entry[kind] = {"source": known.get(row[kind]), **one}
        shutil.rmtree(parts)
        (fresh / "manifest.json").write_text(json.dumps(entries))


def kinds_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds that a chunk has: faces only where they are kept, so that the caches of before they
    could be kept stay what they are."""
    return tuple(kind for kind in KINDS if kind != "faces" or kind in settings["keep"])


def kinds_in(entry: Entry) -> tuple[str, ...]:
    """The kinds that a row of a chunk has."""
    return tuple(kind for kind in KINDS if kind in entry)


def read_chunk(folder: Path) -> list[Entry] | None:
    """The entries of a chunk; None if it is missing, truncated or unreadable."""
    try:
        entries = json.loads((folder / "manifest.json").read_text())
        return entries if isinstance(entries, list) else None
    except (OSError, ValueError):
        return None


def is_whole(folder: Path, entries: Sequence[Entry]) -> bool:
    """Whether the chunk's arrays are, byte for byte, those that were written, and finite, as they
    were not always written."""
    for kind in kinds_in(entries[0]) if entries else ():
        try:
            array = np.load(folder / f"{kind}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            return False
        total = sum(entry[kind]["count"] for entry in entries)
        if len(array) != total:
            return False
        if any(crc_of(array, entry[kind]) != entry[kind]["crc"] for entry in entries):
            return False
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            return False
    return True


def crc_of(array: np.ndarray, one: dict[str, Any]) -> int:
    """CRC-32 of one row's part of a chunk's array."""
    return zlib.crc32(np.ascontiguousarray(array[one["start"] : one["start"] + one["count"]]).data)


def is_silent(sound: dict[str, Any]) -> bool:
    """Whether a row has sound and all of its samples are 0, as its CRC-32 tells."""
    count = sound["count"]
    return bool(count) and sound["crc"] == zlib.crc32(bytes(np.float32().itemsize * count))


def _stamp(path: str) -> tuple[int, int] | None:
    """Size and time of change of a file; None where there is no such file."""
    if not Path(path).is_file():
        return None
    stat = Path(path).stat()
    return stat.st_size, stat.st_mtime_ns


def _describe(path: str, before: tuple[int, int] | None, decoded: bool) -> dict[str, Any] | None:
    """Name and fingerprint of a clip; None where there was no such file before decoding.

    The digest is empty if nothing was decoded from the file, so that no large file that is not
    media is read to its end, and if the file changed meanwhile, so that it is decoded again.
    """
    if before is None:
        return None
    size, mtime_ns = before
    digest = file_digest(Path(path)) if decoded and _stamp(path) == before else ""
    return {"name": Path(path).name, **Fingerprint(size, mtime_ns, digest).as_json()}


def is_unchanged(path: str | None, known: dict[str, Any] | None) -> bool:
    """Whether the clip at `path` is the one that `describe` recorded as `known`."""
    if known is None:
        return path is None or not Path(path).is_file()
    return path is not None and Fingerprint.from_json(known).matches(Path(path))


def _job(row: dict[str, Any], out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    sources = {
        kind: row[kind] for kind in KINDS if row[kind] is not None and kind in settings["keep"]
    }
    job = {"out": str(out), "sources": sources, "settings": settings}
    return job | ({"part": row["part"]} if "part" in row else {})


def _found(row: dict[str, Any], kind: str, answer: dict[str, Any]) -> dict[str, Any]:
    if kind in answer:
        return dict(answer[kind])
    return {"count": 0, "reason": "no file" if row[kind] is None else "not decoded (media.keep)"}


def _gather(
    path: Path, kind: str, settings: dict[str, Any], parts: Path, found: list[dict[str, Any]]
) -> None:
    """Joins the workers' raw files into one array, and adds each row's position and CRC-32 to
    `found`."""
    shape: tuple[int, ...] = ()
    if kind in SIZES:
        shape = (settings[SIZES[kind]],) * 2 + (3,)
    dtype = np.uint8 if shape else np.float32
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
        total = sum(one["count"] for one in found)
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (total, *shape)})
        start = 0
        for place, one in enumerate(found):
            one |= {"start": start, "crc": 0}
            start += one["count"]
            if one["count"]:
                with (parts / f"{place}.{kind}").open("rb") as part:
                    while block := part.read(BLOCK):
                        one["crc"] = zlib.crc32(block, one["crc"])
                        file.write(block)

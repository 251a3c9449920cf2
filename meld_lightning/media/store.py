"""The decoded clips of a corpus: prepare_media writes them in chunks, Media reads them
memory-mapped.

Writes and reads <cache>/media/<name>-<8 hex>/<chunk>/ (see chunks.py); the hex digits are a digest
of the utterance keys and the settings, and folders.py tells corpora apart that share it. Any number
of processes on any number of machines may prepare the same corpus at once: each decodes the chunks
that are neither finished nor locked by another.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.media.chunks import (
    DECODING_VERSION,
    Entry,
    crc_of,
    is_unchanged,
    is_whole,
    kinds_in,
    kinds_of,
    read_chunk,
    write_chunk,
)
from meld_lightning.media.faces import detector_digest
from meld_lightning.media.folders import claim_folder, find_folder
from meld_lightning.media.pool import WORKER, Pool
from meld_lightning.media.settings import SETTINGS, deciding, deciding_all
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.storage.once import made_once

if TYPE_CHECKING:
    import pandas as pd

WRITER_VERSION = 1  # raise it when ordinary clips give different arrays; every run moves with it
CHUNK = 64  # rows: a corpus becomes a few hundred files, and a changed clip costs 63 others


class Media:
    """Frames, faces and waveforms by row of the corpus table.

    Missing media is an empty array; `reasons` says why.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], chunks: Sequence[list[Entry]]
    ) -> None:
        self.folder, self.settings = folder, dict(settings)
        self.entries = [entry for chunk in chunks for entry in chunk]
        self._arrays: dict[tuple[int, str], np.ndarray] = {}

    def frames(self, row: int) -> np.ndarray:
        """uint8 (F, size, size, 3), RGB, memory-mapped; F = 0 if there are none."""
        return self._read(row, "frames")

    def faces(self, row: int) -> np.ndarray:
        """Face crops, uint8 (F, face_size, face_size, 3), RGB, memory-mapped; F = 0 if no face was
        found."""
        return self._read(row, "faces")

    def waveform(self, row: int) -> np.ndarray:
        """float32 (T,) at `rate` samples per second, memory-mapped; T = 0 if there is none."""
        return self._read(row, "audio")

    @cached_property
    def frame_counts(self) -> np.ndarray:
        """Number of frames of each row, int64 (N,)."""
        return self.counts("frames")

    def counts(self, kind: str) -> np.ndarray:
        """Number of frames, faces or samples of each row, int64 (N,)."""
        return np.array([entry[kind]["count"] for entry in self.entries], dtype=np.int64)

    @cached_property
    def face_counts(self) -> np.ndarray:
        """Number of face crops of each row, int64 (N,)."""
        return self.counts("faces")

    @cached_property
    def samples(self) -> np.ndarray:
        """Number of samples of each row, int64 (N,)."""
        return self.counts("audio")

    @property
    def frames_searched(self) -> int:
        """In how many frames faces were looked for."""
        return sum(entry.get("faces", {}).get("searched", 0) for entry in self.entries)

    @property
    def reasons(self) -> dict[str, dict[str, str]]:
        """kind -> key -> why that row has none."""
        return {
            kind: {
                entry["key"]: entry[kind]["reason"]
                for entry in self.entries
                if entry[kind]["reason"]
            }
            for kind in kinds_of(self.settings)
        }

    def digest(self, kind: str, rows: Sequence[int] | None = None) -> str:
        """sha256 (hex) of the decoded media of `rows` (None: all rows), independent of the
        wording of the reasons for missing media.

        kind: "frames", "audio", "faces" or "all".
        """
        kinds = kinds_of(self.settings) if kind == "all" else (kind,)
        chosen = self.entries if rows is None else [self.entries[row] for row in rows]
        content = [
            [entry["key"], *((entry[one]["count"], entry[one]["crc"]) for one in kinds)]
            for entry in chosen
        ]
        settings = deciding(self.settings, [key for one in kinds for key in SETTINGS[one]])
        if "faces" in kinds:
            settings["face_detector"] = detector_digest(self.settings)
        return digest_of([WRITER_VERSION, settings, content], 64)

    def _read(self, row: int, kind: str) -> np.ndarray:
        chunk, one = row // CHUNK, self.entries[row][kind]
        path = self.folder / str(chunk) / f"{kind}.npy"
        if (chunk, kind) not in self._arrays:
            try:
                self._arrays[chunk, kind] = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError):
                raise UserError(
                    f"{path}: missing or damaged; run: meld-lightning prepare"
                ) from None
        array = self._arrays[chunk, kind]
        if crc_of(array, one) != one["crc"]:
            raise UserError(f"{path}: changed since it was written; run: meld-lightning prepare")
        return array[one["start"] : one["start"] + one["count"]]


def prepare_media(
    table: pd.DataFrame,
    name: str,
    settings: Mapping[str, Any],
    cache: Path,
    shard: int = 0,
    processes: int = 0,
    worker: Sequence[str] = WORKER,
    stop: threading.Event | None = None,
) -> Media:
    """Decodes the clips that are not decoded yet, have changed or were damaged; returns all of
    them.

    table: Corpus.table. With columns `start` and `end` (seconds), rows where they are not NaN get
        that part of their clip.
    settings: conf/media.
    shard: the number of this process among those that share the work; each starts elsewhere.
    processes: number of decoding processes; 0 is one per core.
    worker: the command line of a decoding process.
    stop: once another thread has set it, decoding ends with media.pool.Stopped.
    """
    rows = _rows(table)
    folder = claim_folder(_folder(table, name, settings, cache), rows, deciding_all(settings))
    chunks = -(-len(rows) // CHUNK)
    start = int(_spread(shard) * chunks)
    left = [(start + step) % chunks for step in range(chunks)]
    with (
        Pool(processes or os.cpu_count() or 1, settings["timeout_s"], worker, stop) as pool,
        _bar(rows, settings) as bar,
    ):
        for wait in (False, True):
            held = []
            for chunk in left:
                before, wanted = bar.n, rows[chunk * CHUNK : (chunk + 1) * CHUNK]
                if _try_chunk(folder / str(chunk), wanted, settings, pool, bar.update, wait):
                    bar.update(before + _clips(wanted, settings) - bar.n)  # those decoded before
                else:
                    held.append(chunk)
            left = held
    return prepared_media(table, name, settings, cache)


def prepared_media(
    table: pd.DataFrame, name: str, settings: Mapping[str, Any], cache: Path
) -> Media:
    """The clips as prepare_media left them; UserError if they are missing or their files have
    changed."""
    rows = _rows(table)
    folder, found = find_folder(_folder(table, name, settings, cache), rows), []
    for start in range(0, len(rows), CHUNK):
        wanted, entries = rows[start : start + CHUNK], read_chunk(folder / str(start // CHUNK))
        if entries is None:
            raise NotPrepared(
                f"the clips of corpus {name!r} are not decoded in {cache}; run: meld-lightning"
                " prepare, with the same corpus and media keys"
            )
        changed = _changed(wanted, entries)
        if changed:
            raise UserError(
                f"{changed}: missing or changed since it was decoded; run: meld-lightning prepare"
            )
        found.append(entries)
    return Media(folder, settings, found)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """For each row its key, the files that its frames, faces and sound are read from and, for a
    part of them, its start and end."""
    rows: list[dict[str, Any]] = [
        {"key": key, "frames": clip, "faces": clip, "audio": audio or clip}
        for key, clip, audio in zip(table["key"], table["clip"], table["audio"], strict=True)
    ]
    if "start" in table:
        for row, start, end in zip(rows, table["start"], table["end"], strict=True):
            if start == start:  # not NaN
                row["part"] = [float(start), float(end)]
    return rows


def _folder(table: pd.DataFrame, name: str, settings: Mapping[str, Any], cache: Path) -> Path:
    decides = [WRITER_VERSION, deciding_all(settings), table["key"].tolist()]
    if "start" in table and table["start"].notna().any():
        decides += [table["start"].tolist(), table["end"].tolist()]
    return cache / "media" / f"{name}-{digest_of(decides, 8)}"


def _clips(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> int:
    """The number of rows that have a file to decode."""
    return sum(any(row[kind] is not None for kind in settings["keep"]) for row in rows)


def _bar(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> tqdm[Any]:
    """The progress bar, on a terminal; it counts clips."""
    clips = _clips(rows, settings)
    return tqdm(
        total=clips, desc="decoding", unit=" clips", disable=None if clips else True, mininterval=1
    )


def _try_chunk(
    target: Path,
    wanted: Sequence[dict[str, Any]],
    settings: Mapping[str, Any],
    pool: Pool,
    on_clip: Callable[[], object],
    wait: bool,
) -> bool:
    """Decodes one chunk if necessary; False if another process has locked it and wait is False."""
    return made_once(
        Path(f"{target}.lock"),
        lambda: _is_done(target, wanted, settings),
        lambda: write_chunk(target, wanted, dict(settings), pool, on_clip),
        wait=wait,
    )


def _is_done(target: Path, wanted: Sequence[dict[str, Any]], settings: Mapping[str, Any]) -> bool:
    entries = read_chunk(target)
    if (
        entries is None
        or _worth_a_retry(entries, settings["timeout_s"])
        or _changed(wanted, entries)
        or any(entry.get("decoding") != DECODING_VERSION for entry in entries)
    ):
        return False
    return is_whole(target, entries)


def _worth_a_retry(entries: Sequence[Entry], timeout_s: float) -> bool:
    """Whether a clip crashed the decoder, or ran into a shorter time limit than the present one."""
    return any(
        timeout_s > entry[kind].get("retry_over_s", timeout_s)
        for entry in entries
        for kind in kinds_in(entry)
    )


def _changed(wanted: Sequence[dict[str, Any]], entries: Sequence[Entry]) -> str | None:
    """The first file that is not the one that was decoded; None if there is none."""
    for row, entry in zip(wanted, entries, strict=True):
        for kind in kinds_in(entry):
            if not is_unchanged(row[kind], entry[kind]["source"]):
                return str(row[kind] or entry["key"])
    return None


def _spread(shard: int) -> float:
    """Starting points in [0, 1) that are evenly spread for any number of shards: 0, 1/2, 1/4, 3/4
    ... (the van der Corput sequence)."""
    place, part = 0.0, 0.5
    while shard:
        place += part * (shard & 1)
        shard, part = shard >> 1, part / 2
    return place

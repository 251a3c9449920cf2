"""Decoded frames and sound of items, from their files or from arrays that the caller has decoded.

Writes decoded clips into a cache folder, as media/store.py does. Used by parts.py.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meld_lightning.errors import UserError
from meld_lightning.media import Media, prepare_media
from meld_lightning.media.chunks import KINDS, kinds_of
from meld_lightning.media.faces import NO_FACE, faces_of
from meld_lightning.media.frames import fit
from meld_lightning.storage.fingerprint import bytes_digest

NOUNS = {"frames": "video", "faces": "video", "audio": "sound"}


@dataclass(frozen=True)
class GivenMedia:
    """Media that a caller decoded: uint8 frames (F, H, W, 3), RGB, all of which are used, and a
    float32 waveform (T,), mono, at the rate that the models read. None if missing."""

    frames: np.ndarray | None = None
    waveform: np.ndarray | None = None

    def checked(self, where: str) -> "GivenMedia":
        """These media; UserError, which begins with `where`, if a type or shape is wrong."""
        frames, wave = self.frames, self.waveform
        if frames is not None and (
            frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size
        ):
            raise UserError(
                f"{where}: frames of {frames.dtype} {frames.shape}, expected uint8 (F, H, W, 3)"
            )
        if wave is not None and (wave.dtype.kind != "f" or wave.ndim != 1 or not len(wave)):
            raise UserError(
                f"{where}: a waveform of {wave.dtype} {wave.shape}, expected float32 (T,)"
            )
        if wave is not None and not np.isfinite(wave).all():
            raise UserError(f"{where}: the waveform has samples that are not finite")
        return self


class ItemMedia(Media):
    """Frames and waveforms by item. Missing media is an empty array; `reasons` says why.

    Args:
        items: a table of items.
        decoded: the decoded files of the same rows.
        given: id -> arrays that replace the item's files.
    """

    def __init__(
        self, items: pd.DataFrame, decoded: Media, given: Mapping[str, GivenMedia]
    ) -> None:
        super().__init__(decoded.folder, decoded.settings, [])
        self._items, self._decoded = items.reset_index(drop=True), decoded
        size = decoded.settings["size"]
        self._given: dict[str, dict[int, np.ndarray]] = {kind: {} for kind in KINDS}
        for row, key in enumerate(self._items["id"]):
            one = given.get(key, GivenMedia())
            if one.frames is not None:
                self._given["frames"][row] = np.stack([fit(frame, size) for frame in one.frames])
            if one.frames is not None and "faces" in decoded.settings["keep"]:
                self._given["faces"][row] = faces_of(one.frames, decoded.settings)
            if one.waveform is not None:
                self._given["audio"][row] = np.asarray(one.waveform, dtype=np.float32)

    def frames(self, row: int) -> np.ndarray:
        found = self._given["frames"].get(row)
        return self._decoded.frames(row) if found is None else found

    def faces(self, row: int) -> np.ndarray:
        found = self._given["faces"].get(row)
        return self._decoded.faces(row) if found is None else found

    def waveform(self, row: int) -> np.ndarray:
        found = self._given["audio"].get(row)
        return self._decoded.waveform(row) if found is None else found

    @cached_property
    def frame_counts(self) -> np.ndarray:
        return self._counts(self._decoded.frame_counts, "frames")

    @cached_property
    def face_counts(self) -> np.ndarray:
        return self._counts(self._decoded.face_counts, "faces")

    @cached_property
    def samples(self) -> np.ndarray:
        return self._counts(self._decoded.samples, "audio")

    @property
    def reasons(self) -> dict[str, dict[str, str]]:
        known = self._decoded.reasons
        found = {
            kind: {
                row["id"]: self._reason(known[kind][row["id"]], row, kind)
                for place, row in enumerate(self._items.to_dict("records"))
                if row["id"] in known[kind] and place not in self._given[kind]
            }
            for kind in known
        }
        if "faces" in found:
            empty = [row for row, faces in self._given["faces"].items() if not len(faces)]
            found["faces"] |= {self._items["id"][row]: NO_FACE for row in empty}
        return found

    def digest(self, kind: str, rows: Sequence[int] | None = None) -> str:
        kinds = kinds_of(self.settings) if kind == "all" else (kind,)
        arrays = [array for one in kinds for array in self._given[one].values()]
        decoded = self._decoded.digest(kind, rows).encode()
        return bytes_digest([decoded, *(np.ascontiguousarray(one).tobytes() for one in arrays)])

    def _counts(self, decoded_N: np.ndarray, kind: str) -> np.ndarray:
        counts_N = decoded_N.copy()
        for row, array in self._given[kind].items():
            counts_N[row] = len(array)
        return counts_N

    def _reason(self, known: str, row: Mapping[str, Any], kind: str) -> str:
        source = (row["audio"] or row["clip"]) if kind == "audio" else row["clip"]
        if source is None:
            return f"no {NOUNS[kind]} was given"
        return "no such file" if known == "no file" else known


def decode_items(
    items: pd.DataFrame,
    settings: Mapping[str, Any],
    cache: Path,
    given: Mapping[str, GivenMedia] | None = None,
    stop: threading.Event | None = None,
) -> ItemMedia:
    """Decodes the files of `items` (table.py) with `settings` (conf/media).

    given: id -> arrays, for items without a file.
    stop: set by another thread to end the decoding early; see prepare_media.
    """
    table = items.rename(columns={"id": "key"}).reset_index(drop=True)
    for column in ("clip", "audio"):
        table[column] = [None if path is None else str(path) for path in table[column]]
        table[column] = table[column].astype(object).where(table[column].notna(), None)
    processes = int(settings.get("processes", 0))
    decoded = prepare_media(table, "prediction", settings, cache, processes=processes, stop=stop)
    return ItemMedia(items, decoded, given or {})

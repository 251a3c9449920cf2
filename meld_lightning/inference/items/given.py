"""Turns the paths, arrays and texts that a caller gives Predictor in Python into a table of items.

Reads the names of files; decodes nothing. Used by predictor.py.
"""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from meld_lightning.corpus.look_alikes import clean_text
from meld_lightning.errors import UserError
from meld_lightning.inference.items.media import GivenMedia
from meld_lightning.inference.items.table import as_items, read_items
from meld_lightning.inference.items.texts import checked_text

Clip: TypeAlias = str | Path | np.ndarray
Text: TypeAlias = str | None


def given_items(
    clips: Clip | Sequence[Clip] | None,
    text: Text | Sequence[Text],
    audio: Clip | Sequence[Clip | None] | None,
) -> tuple[pd.DataFrame, dict[str, GivenMedia]]:
    """A table of items (table.py), and id -> arrays for the items without a file.

    Raises UserError if nothing is given, if the numbers of clips, texts and sounds differ, or if an
    array has the wrong type or shape.
    """
    clips, texts, sounds = _several(clips), _several(text), _several(audio)
    paths_alone = not any(isinstance(one, np.ndarray) for one in clips) and not sounds
    if paths_alone and all(one is not None for one in texts):
        return read_items([str(clip) for clip in clips], [str(one) for one in texts]), {}
    count = max(len(clips), len(texts), len(sounds))
    for name, values in (("clips", clips), ("texts", texts), ("sounds", sounds)):
        if values and len(values) != count:
            raise UserError(
                f"{len(values)} {name} for {count} items; give one for each, None where there is"
                " none"
            )
    rows: list[dict[str, Any]] = []
    given: dict[str, GivenMedia] = {}
    for number in range(count):
        clip, said, sound = (
            values[number] if values else None for values in (clips, texts, sounds)
        )
        frames = clip if isinstance(clip, np.ndarray) and clip.ndim != 1 else None
        wave = sound if isinstance(sound, np.ndarray) else None
        if isinstance(clip, np.ndarray) and clip.ndim == 1:  # a waveform given as a clip
            wave = clip
        key = f"item {number + 1}"
        if frames is not None or wave is not None:
            given[key] = GivenMedia(frames, wave).checked(key)
        row: dict[str, Any] = {"id": key, "text": _text(said, key)}
        row |= {"clip": _file(clip, key), "audio": _file(sound, key)}
        if (
            row["text"] is None
            and row["clip"] is None
            and row["audio"] is None
            and key not in given
        ):
            raise UserError(f"{key}: has neither clip, sound nor text")
        rows.append(row)
    return as_items(rows), given


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str | PathLike | np.ndarray) else list(value)


def _text(value: Any, where: str) -> str | None:
    return None if value is None else clean_text(checked_text(str(value), where))


def _file(value: Any, where: str) -> str | None:
    if value is None or isinstance(value, np.ndarray):
        return None
    path = Path(value).expanduser()
    if not path.is_file():
        raise UserError(f"{where}: {path}: no such file")
    return str(path)

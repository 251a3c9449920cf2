"""Checkpoints made here for the mini corpus, so that every architecture runs without a network.

One file an architecture, whose `write` fills a folder just as save_pretrained does. Used by
checkpoints.py.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meld_lightning.storage.fingerprint import digest_of

if TYPE_CHECKING:
    import pandas as pd

    from meld_lightning.media import Media

WRITER_VERSION = 1  # raise it when what a writer makes changes: prepare then makes them anew
FROM_FRAMES = ("mini:clip",)


@dataclass(frozen=True)
class MiniSources:
    """The train split of the mini corpus's own table, and a way to its decoded clips, which not
    every writer needs."""

    table: "pd.DataFrame"
    decode: "Callable[[], Media]" = field(repr=False)

    @cached_property
    def media(self) -> "Media":
        """The decoded clips, by row of the whole table."""
        return self.decode()

    @cached_property
    def rows(self) -> np.ndarray:
        """The rows that may be learnt from: those of train."""
        return np.flatnonzero(self.table["split"].to_numpy() == "train")

    @property
    def texts(self) -> list[str]:
        """The utterances of train."""
        return [str(text) for text in self.table["text"].iloc[self.rows]]

    def digest(self, name: str) -> str:
        """sha256 (hex) over all that the checkpoint `name` is made of."""
        content = [WRITER_VERSION, self.texts]
        if name in FROM_FRAMES:
            content += [
                self.table["emotion"].iloc[self.rows].tolist(),
                self.media.digest("frames", self.rows.tolist()),
            ]
        return digest_of(content, 64)


def _write(architecture: str, folder: Path, sources: MiniSources) -> None:
    importlib.import_module(f"{__name__}.{architecture}").write(folder, sources)


MINI: dict[str, Callable[[Path, MiniSources], None]] = {
    f"mini:{name}": partial(_write, name)
    for name in ("roberta", "wav2vec2", "speech_emotion", "clip")
}

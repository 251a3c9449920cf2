"""Checkpoints made here for the mini corpus, so that every architecture runs without a network.

One file per architecture, whose `write(folder, sources)` fills a folder as save_pretrained does.
Used by `prepare`, which hands the recipe to pretrained/checkpoints.py.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meld_lightning.errors import UserError
from meld_lightning.pretrained.checkpoints import Recipe
from meld_lightning.storage.fingerprint import digest_of

if TYPE_CHECKING:
    import pandas as pd

    from meld_lightning.media import Media

WRITER_VERSION = 2  # raise it when a writer changes: prepare then makes the checkpoints again
PREFIX = "mini:"
LAYOUT = "meld_lightning.mini.reader"  # corpus.layout of the corpus that they serve
MINI = ("mini:roberta", "mini:wav2vec2", "mini:speech_emotion", "mini:clip")
FROM_FRAMES = ("mini:clip",)


@dataclass(frozen=True)
class MiniSources:
    """The train split of the mini corpus, and its decoded clips for the writers that need them.

    table: Corpus.table of the mini corpus.
    decode: decodes its clips, or reads them if they are decoded.
    """

    table: "pd.DataFrame"
    decode: "Callable[[], Media]" = field(repr=False)

    @cached_property
    def media(self) -> "Media":
        """The decoded clips, by row of the whole table."""
        return self.decode()

    @cached_property
    def rows(self) -> np.ndarray:
        """The row numbers of train, the only rows that a checkpoint may be trained on."""
        return np.flatnonzero(self.table["split"].to_numpy() == "train")

    @property
    def texts(self) -> list[str]:
        """The utterances of train."""
        return [str(text) for text in self.table["text"].iloc[self.rows]]

    def digest(self, name: str) -> str:
        """sha256 (hex) of everything that the checkpoint `name` is made from."""
        content = [WRITER_VERSION, self.texts]
        if name in FROM_FRAMES:
            content += [
                self.table["emotion"].iloc[self.rows].tolist(),
                self.media.digest("frames", self.rows.tolist()),
            ]
        return digest_of(content, 64)


def recipe(name: str, sources: MiniSources) -> Recipe:
    """How to make the checkpoint `name` ("mini:roberta" ...); UserError if there is no such one."""
    if name not in MINI:
        raise UserError(f"checkpoint {name}: unknown; expected {', '.join(MINI)}")

    def write(folder: Path) -> None:
        # imports torch: not where the checkpoint is there already
        writer = importlib.import_module(f"{__name__}.{name.removeprefix(PREFIX)}")
        writer.write(folder, sources)

    return Recipe(sources.digest(name), write)

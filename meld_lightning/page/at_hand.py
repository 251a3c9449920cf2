"""The corpus and the clips that the page shows, where they are prepared here.

Reads what `prepare` left in the cache, writes nothing. Used by page/make.py and page/up_to_date.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from meld_lightning.corpus import Corpus, prepared_corpus
from meld_lightning.errors import UserError
from meld_lightning.media import Media, prepared_media


def corpus_at_hand(cfg: DictConfig) -> Corpus | None:
    """The prepared corpus; None where it is not prepared, or its files have changed since."""
    try:
        return prepared_corpus(cfg.corpus, Path(cfg.paths.cache))
    except UserError:
        return None


def clips_at_hand(cfg: DictConfig, corpus: Corpus) -> Media | None:
    """The decoded clips; None unless the study shows them and they are decoded here."""
    if not cfg.study.get("show_clips", False):
        return None
    settings: Any = OmegaConf.to_container(cfg.media, resolve=True)
    try:
        return prepared_media(corpus.table, corpus.name, settings, Path(cfg.paths.cache))
    except UserError:
        return None

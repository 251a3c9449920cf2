"""Computes one model's logits for items, with the datamodule that its run was trained with.

Writes features into the given cache folder, as the datamodules do. Used by parts.py. The items
become a table with one split and no labels, so that utterances of the run's own corpus get the same
logits as in the run.

Axes: N items, C classes, D dimensions of embeddings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning_fabric.utilities.apply_func import move_data_to_device
from omegaconf import OmegaConf
from torch import nn

from meld_lightning.config.keys import defaults_of
from meld_lightning.config.nodes import Media as MediaKeys
from meld_lightning.corpus.texts import has_text
from meld_lightning.data.datamodule import CorpusDataModule, NonePresent
from meld_lightning.data.sources import Sources
from meld_lightning.errors import UserError, is_out_of_memory
from meld_lightning.inference.loaded import LoadedModel
from meld_lightning.media import SETTINGS, Media
from meld_lightning.models.scoring import ScoredBatch
from meld_lightning.storage.fingerprint import digest_of

SPLIT = "test"
UNKNOWN = -1  # the label of an item


@dataclass(frozen=True)
class Scored:
    """One model's logits for the items.

    logits_NC: float32; the run's own prior if the modality is missing.
    present_N: whether the item has the modality and its logits are finite.
    why: id -> why the modality is missing.
    embeddings_ND: float32, 0 if the modality is missing; None if the fusion reads none.
    """

    logits_NC: np.ndarray
    present_N: np.ndarray
    why: dict[str, str]
    embeddings_ND: np.ndarray | None = None


@dataclass(frozen=True)
class Member:
    """One model of a source, and the device that it runs on.

    encoders: frozen encoders, kept between calls.
    width: dimensions of the embeddings that the fusion reads; None if it reads none.
    """

    model: LoadedModel
    device: torch.device
    encoders: dict[str, nn.Module] = field(default_factory=dict)
    width: int | None = None

    @property
    def media_settings(self) -> dict[str, Any]:
        """The run's settings of conf/media, with `keep` reduced to what this model reads."""
        given = OmegaConf.to_container(
            self.model.config.get("media", OmegaConf.create()), resolve=True
        )
        assert isinstance(given, dict)
        kept = [] if self.model.decoded is None else [self.model.decoded]
        return {**defaults_of(MediaKeys), **{str(k): v for k, v in given.items()}, "keep": kept}

    @property
    def decoded_as(self) -> tuple[Any, ...]:
        """The kind of media that it reads, and the settings that these depend on."""
        settings, kind = self.media_settings, self.model.decoded
        return (kind, *(settings[key] for key in SETTINGS.get(kind or "", ())))

    def score(self, items: pd.DataFrame, media: Media | None, cache: Path) -> Scored:
        """The logits of every item; see items/table.py for the columns.

        media: the items' media, row by row; None for a model that reads none.
        """
        logits_NC = np.tile(self.model.prior_C.astype(np.float32), (len(items), 1))
        present_N = np.zeros(len(items), dtype=bool)
        embeddings_ND = None if self.width is None else _nothing(len(items), self.width)
        try:
            datamodule = self._datamodule(items, media, cache)
        except NonePresent:
            why = self._reasons(items, media, present_N, ~present_N)
            return Scored(logits_NC, present_N, why, embeddings_ND)
        with self._sources(items, media, cache).inference():
            for batch in datamodule.scoring_dataloader(SPLIT):
                scored, embedded_ND = self._step(batch)
                logits_NC[scored.rows_N.numpy()] = scored.logits_NC.numpy()
                if embeddings_ND is not None and embedded_ND is not None:
                    embeddings_ND[scored.rows_N.numpy()] = embedded_ND.numpy()
        finite_N = np.asarray(np.isfinite(logits_NC).all(1))
        logits_NC[~finite_N] = self.model.prior_C
        present_N = np.asarray(datamodule.present_N)
        why = self._reasons(items, media, present_N, finite_N)
        return Scored(logits_NC, present_N & finite_N, why, embeddings_ND)

    def _step(self, batch: Any) -> tuple[ScoredBatch, torch.Tensor | None]:
        """The scored batch, and its embeddings if the fusion reads them."""
        module, moved = self.model.module, move_data_to_device(batch, self.device)
        try:
            if self.width is not None:
                return module.score_and_embed(moved)
            return module.predict_step(moved, 0), None
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"{self.model.folder}: {len(batch.rows_N)} items do not fit into the"
                f" memory of {self.device} together; use another device, such as device=cpu"
            ) from error

    def _datamodule(
        self, items: pd.DataFrame, media: Media | None, cache: Path
    ) -> CorpusDataModule:
        config = self.model.config
        # copies at other speeds are used only in training
        once: dict[str, Any] = {"speeds": []} if "speeds" in config.data else {}
        try:
            return instantiate(config.data, _partial_=True, **once)(
                sources=self._sources(items, media, cache),
                seed=0,
                eval_batch_size=config.eval_batch_size,
                workers=0,
                rank=0,
                world_size=1,
                microbatches=1,
            )
        except InstantiationException as error:
            raise (error.__cause__ if isinstance(error.__cause__, UserError) else error) from None

    def _sources(self, items: pd.DataFrame, media: Media | None, cache: Path) -> Sources:
        checkpoint = self.model.checkpoint
        table = _table(items)
        texts = table[["key", "text", "speaker", "dialogue_id"]].to_dict("records")
        return Sources(
            table=table,
            labels=self.model.labels,
            corpus_digest=digest_of(texts, 64),
            media=media,
            checkpoint=checkpoint.folder if checkpoint else None,
            checkpoint_digest=checkpoint.digest if checkpoint else "",
            cache=cache,
            device=self.device,
            precision=self.model.config.numerics.precision,
            threads=torch.get_num_threads(),
            encoders=self.encoders,
        )

    def _reasons(
        self,
        items: pd.DataFrame,
        media: Media | None,
        present_N: np.ndarray,
        finite_N: np.ndarray,
    ) -> dict[str, str]:
        """Id -> why the modality is missing, for the items without it."""
        known: Mapping[str, str] = media.reasons[str(self.model.decoded)] if media else {}
        found = {}
        for row, (key, text) in enumerate(zip(items["id"], items["text"], strict=True)):
            if present_N[row] and finite_N[row]:
                continue
            if present_N[row]:
                found[key] = "the model's outputs are not finite"
            elif media is not None:
                found[key] = known.get(key, "its features are not finite")
            elif text is None:
                found[key] = "no text was given"
            else:
                empty = not has_text(text)
                found[key] = "the text is blank" if empty else "the tokenizer knows none of it"
        return found


def _nothing(number: int, width: int) -> np.ndarray:
    """The embeddings of items that lack the modality (N, D)."""
    return np.zeros((number, width), dtype=np.float32)


def _table(items: pd.DataFrame) -> pd.DataFrame:
    """The items as a table for datamodules, with the turns of a dialogue in the given order."""
    dialogue = items["dialogue"].astype(object)
    return pd.DataFrame(
        {
            "key": items["id"].astype(str),
            "split": SPLIT,
            "text": [text or "" for text in items["text"]],
            "speaker": items["speaker"].astype(object),
            "dialogue_id": dialogue.where(dialogue.notna(), None),
            "utterance_id": np.arange(len(items)),
            "label": UNKNOWN,
        }
    ).reset_index(drop=True)

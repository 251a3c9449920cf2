"""Text: utterances as token ids, optionally with the dialogue around them, in batches of similar
length.

Reads the corpus table and a checkpoint's tokenizer; writes cache/tokens/ (see data/tokens.py). Used
by training.

Axes: N utterances of a batch, T tokens, G utterances of the global batch.
"""

from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from meld_lightning.data.context import dialogues
from meld_lightning.data.datamodule import CorpusDataModule, Shared
from meld_lightning.data.sources import Sources
from meld_lightning.data.tokens import Around, Context, cached_tokens
from meld_lightning.errors import UserError


class TextBatch(NamedTuple):
    """Token ids, padded to the batch's longest row."""

    input_ids_NT: torch.Tensor
    attention_mask_NT: torch.Tensor
    own_mask_NT: torch.Tensor  # the utterance and the markers around it, without its dialogue
    labels_N: torch.Tensor
    rows_N: torch.Tensor
    owned_N: torch.Tensor
    labels_G: torch.Tensor
    mask_N: torch.Tensor | None = None  # with data.query: where each row has its mask token
    turns: "Turns | None" = None  # with data.batch_of=dialogues


class Turns(NamedTuple):
    """The dialogues of a batch, whose utterances follow each other in the order of their turns."""

    dialogues_N: torch.Tensor  # which dialogue of the batch an utterance belongs to, from 0
    same_speaker_N: torch.Tensor  # whether its speaker also has the turn before it


def without_context(batch: TextBatch, dropped_N: torch.Tensor) -> TextBatch:
    """The batch without the turns around the utterances that `dropped_N` marks.

    Their rows become what they would be for an utterance without a dialogue: [CLS] utterance [SEP],
    and the query if there is one.
    """
    places_1T = torch.arange(batch.input_ids_NT.shape[1], device=dropped_N.device)[None]
    own_N = batch.own_mask_NT.sum(1)
    start_N = batch.own_mask_NT.int().argmax(1)
    # the query's mask token and the separator behind it are the last that stay
    end_N = start_N + own_N if batch.mask_N is None else batch.mask_N + 2
    shift_N = start_N * dropped_N
    shifted_NT = (places_1T + shift_N[:, None]).clamp(max=places_1T.shape[1] - 1)
    ids_NT = batch.input_ids_NT.gather(1, shifted_NT)
    ids_NT[:, 0] = batch.input_ids_NT[:, 0]  # the utterance may have begun with a separator
    lengths_N = torch.where(dropped_N, end_N - start_N, batch.attention_mask_NT.sum(1))
    return batch._replace(
        input_ids_NT=ids_NT,
        attention_mask_NT=(places_1T < lengths_N[:, None]).long(),
        own_mask_NT=batch.own_mask_NT.gather(1, shifted_NT) & (places_1T < lengths_N[:, None]),
        mask_N=None if batch.mask_N is None else batch.mask_N - shift_N,
    )


class TextDataModule(CorpusDataModule):
    """Batches of token ids, made by the tokenizer of the model's checkpoint.

    Args:
        max_tokens: longest input, special tokens included. A longer one loses context first, then
            the end of the utterance.
        context: turns of the dialogue around the utterance, with speaker names: the earlier ones
            (past), or the later ones as well (both).
        turns: the most turns of either side; null: as many as fit.
        query: with context, whether "NAME feels [MASK]" follows the utterance; its mask token is
            read by model.pooling=mean_and_mask.
        batch_of: what batches are made of and data.batch_size counts: single utterances, or
            complete dialogues, which model.recurrent reads.
        loading: see CorpusDataModule.
    """

    modality: ClassVar[str] = "text"
    decoded: ClassVar[str | None] = None

    def __init__(
        self,
        max_tokens: Annotated[int, Field(ge=8)] = 512,
        context: Context = "none",
        turns: Annotated[int, Field(ge=1)] | None = None,
        query: bool = False,
        batch_of: Literal["utterances", "dialogues"] = "utterances",
        *,
        sources: Sources,
        **loading: Any,
    ) -> None:
        if sources.checkpoint is None:
            raise UserError(
                "data=text needs a tokenizer, and this model names no checkpoint: add checkpoint to"
                " its config"
            )
        if context == "none" and (query or turns is not None):
            raise UserError(
                "data.query and data.turns are for an utterance with its dialogue: add"
                " data.context=past or data.context=both"
            )
        self.context, self.query, self.batch_of = context, query, batch_of
        self.tokens = cached_tokens(
            sources.table,
            sources.checkpoint,
            max_tokens,
            Around(context, turns, query),
            sources.cache / "tokens",
            [sources.corpus_digest, sources.checkpoint_digest],
        )
        super().__init__(
            sources=sources,
            lengths_N=self.tokens.lengths,
            present_N=self.tokens.present,
            groups=[np.array(rows) for rows in dialogues(sources.table)]
            if batch_of == "dialogues"
            else None,
            **loading,
        )
        if batch_of == "dialogues":
            self.dialogue_N, self.speaker_N = _numbers(sources.table)

    def batch(self, rows: np.ndarray, shared: Shared) -> TextBatch:
        lengths = self.tokens.lengths[rows]
        shape = (len(rows), int(lengths.max()))
        ids = np.full(shape, self.tokens.pad, dtype=np.int64)
        own = np.zeros(shape, dtype=bool)
        for line, row in enumerate(rows):
            ids[line, : lengths[line]] = self.tokens.of(row)
            start, end = self.tokens.own[row]
            own[line, start:end] = True
        return TextBatch(
            input_ids_NT=torch.from_numpy(ids),
            attention_mask_NT=torch.from_numpy(np.arange(shape[1]) < lengths[:, None]).long(),
            own_mask_NT=torch.from_numpy(own),
            **shared._asdict(),
            mask_N=torch.from_numpy(self.tokens.mask[rows]).long() if self.query else None,
            turns=self._turns(rows) if self.batch_of == "dialogues" else None,
        )

    def _turns(self, rows: np.ndarray) -> Turns:
        dialogue_N, speaker_N = self.dialogue_N[rows], self.speaker_N[rows]
        continued_N = np.r_[False, dialogue_N[1:] == dialogue_N[:-1]]
        same_N = continued_N & (speaker_N >= 0) & (speaker_N == np.r_[-1, speaker_N[:-1]])
        return Turns(
            dialogues_N=torch.from_numpy(np.cumsum(~continued_N) - 1),
            same_speaker_N=torch.from_numpy(same_N),
        )


def _numbers(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Each row's dialogue (N,) and speaker (N,) as numbers; -1 for an unknown speaker."""
    dialogue_N = np.empty(len(table), np.int64)
    for number, rows in enumerate(dialogues(table)):
        dialogue_N[rows] = number
    return dialogue_N, pd.factorize(table["speaker"])[0]

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
from meld_lightning.data.tokens import Context, cached_tokens
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
    turns: "Turns | None" = None  # with data.batch_of=dialogues


class Turns(NamedTuple):
    """The dialogues of a batch, whose utterances follow each other in the order of their turns."""

    dialogues_N: torch.Tensor  # which dialogue of the batch an utterance belongs to, from 0
    same_speaker_N: torch.Tensor  # whether its speaker also has the turn before it


class TextDataModule(CorpusDataModule):
    """Batches of token ids, made by the tokenizer of the model's checkpoint.

    Args:
        max_tokens: longest input, special tokens included. A longer one loses context first, then
            the end of the utterance.
        context: turns of the dialogue around the utterance, with speaker names: the earlier ones
            (past), or the later ones as well (both).
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
        self.context, self.batch_of = context, batch_of
        self.tokens = cached_tokens(
            sources.table,
            sources.checkpoint,
            max_tokens,
            context,
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

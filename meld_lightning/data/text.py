"""Text: utterances (with their dialogue, if asked) as token ids, tokenised once and cached, in
length-grouped batches.

Reads the corpus table and a checkpoint's tokenizer; writes cache/tokens/<key>/. Used by training.

Axes: N utterances of a batch, T tokens, G utterances of the global batch.
"""

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch

from meld_lightning.data.datamodule import CorpusDataModule, Sampling, Shared, Sources
from meld_lightning.data.tokens import cached_tokens


class TextBatch(NamedTuple):
    """Token ids padded to the batch's own longest row."""

    input_ids_NT: torch.Tensor
    attention_mask_NT: torch.Tensor
    own_mask_NT: (
        torch.Tensor
    )  # the utterance itself and the markers around it, without its dialogue
    labels_N: torch.Tensor
    rows_N: torch.Tensor  # row in the corpus table
    owned_N: torch.Tensor  # False for a row that another rank counts
    labels_G: torch.Tensor  # of the whole global batch: what the loss is normalised by


class TextDataModule(CorpusDataModule):
    """Batches of a corpus's text for one checkpoint's tokenizer.

    Args:
        max_tokens: longest input, special tokens included; longer ones lose context first, then
            their end.
        context: `none`; `past`: earlier turns of the dialogue with speaker names; `both`: later
            turns as well.
        batch_size, sampling, and the rest of `loading`: see CorpusDataModule.
    """

    modality: ClassVar[str] = "text"
    decoded: ClassVar[str | None] = None

    def __init__(
        self,
        batch_size: int,
        max_tokens: int,
        context: Literal["none", "past", "both"],
        sampling: Sampling,
        *,
        sources: Sources,
        **loading: Any,
    ) -> None:
        assert sources.checkpoint is not None
        self.context = context
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
            present_N=np.ones(len(sources.table), dtype=bool),
            batch_size=batch_size,
            sampling=sampling,
            **loading,
        )

    def batch(self, rows: np.ndarray, shared: Shared) -> TextBatch:
        lengths = self.tokens.lengths[rows]
        shape = (len(rows), int(lengths.max()))
        ids = np.full(shape, self.tokens.pad, dtype=np.int64)
        own = np.zeros(shape, dtype=bool)
        for line, row in enumerate(rows):
            ids[line, : lengths[line]] = self.tokens.ids[
                self.tokens.offsets[row] : self.tokens.offsets[row + 1]
            ]
            own[line, self.tokens.own[row, 0] : self.tokens.own[row, 1]] = True
        return TextBatch(
            input_ids_NT=torch.from_numpy(ids),
            attention_mask_NT=torch.from_numpy(np.arange(shape[1]) < lengths[:, None]).long(),
            own_mask_NT=torch.from_numpy(own),
            **shared._asdict(),
        )

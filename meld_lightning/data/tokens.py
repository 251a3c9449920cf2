"""Token ids of a corpus for one tokenizer, made once and then read memory-mapped.

Reads a checkpoint's tokenizer; writes cache/tokens/ (see storage/arrays.py). Used by data/text.py.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from meld_lightning.corpus.texts import has_text
from meld_lightning.data.context import Markers, neighbours, with_context
from meld_lightning.errors import UserError
from meld_lightning.storage.arrays import Arrays, cached_arrays

WRITER_VERSION = 4  # to be raised if this file or data/context.py gives other ids for the same text

Context = Literal["none", "past", "both"]


@dataclass(frozen=True)
class Tokens:
    """Token ids of all rows, end to end.

    Args:
        ids: (sum of lengths,).
        offsets: where each row starts in `ids`, and the end of the last one (N + 1,).
        own: span of the utterance within its row, start and end, its markers included (N, 2).
        present: False where the utterance has no text, or none that the tokenizer knows (N,).
        pad: id of the padding token.
    """

    ids: np.ndarray
    offsets: np.ndarray
    own: np.ndarray
    present: np.ndarray
    pad: int

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Tokens per row (N,)."""
        return np.diff(self.offsets)

    def of(self, row: int) -> np.ndarray:
        """Token ids of one row."""
        return self.ids[self.offsets[row] : self.offsets[row + 1]]


def cached_tokens(
    table: pd.DataFrame,
    checkpoint: Path,
    max_tokens: int,
    context: Context,
    cache: Path,
    digests: Sequence[str],
) -> Tokens:
    """The tokens of `table` by `checkpoint`'s tokenizer, made if they are not cached yet.

    digests: of the table and of the checkpoint.
    """
    import tokenizers
    import transformers

    settings = {
        "digests": list(digests),
        "max_tokens": max_tokens,
        "context": context,
        "rows": len(table),
        "writer": WRITER_VERSION,
        "tokenizers": tokenizers.__version__,
        "transformers": transformers.__version__,
    }
    arrays = cached_arrays(
        cache, settings, lambda: _tokenise(table, checkpoint, max_tokens, context)
    )
    offsets, own, present = (np.asarray(arrays[name]) for name in ("offsets", "own", "present"))
    return Tokens(arrays["ids"], offsets, own, present, int(arrays["pad"]))


def _tokenise(table: pd.DataFrame, checkpoint: Path, max_tokens: int, context: Context) -> Arrays:
    from meld_lightning.pretrained.text import (
        longest_input,
        padding_id,
        text_config,
        text_tokenizer,
    )

    config = text_config(checkpoint)
    tokenizer, limit = text_tokenizer(checkpoint, config), longest_input(config)
    if not 8 <= max_tokens <= limit:
        raise UserError(
            f"data.max_tokens={max_tokens}: expected 8 to {limit}, the longest input of"
            f" {checkpoint.name}"
        )
    pad = padding_id(tokenizer, checkpoint)
    if context == "none":
        rows = tokenizer(table["text"].tolist(), truncation=True, max_length=max_tokens)[
            "input_ids"
        ]
        own = [(0, len(row)) for row in rows]
    else:
        rows, own = _with_dialogue(table, tokenizer, max_tokens, context)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return {
        "ids": np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(offsets[-1])),
        "offsets": offsets,
        "own": np.asarray(own, dtype=np.int32).reshape(-1, 2),
        "present": _present(table["text"].tolist(), tokenizer, max_tokens),
        "pad": np.asarray(pad),
    }


def _present(texts: list[str], tokenizer: Any, max_tokens: int) -> np.ndarray:
    """Whether each text becomes any token of its own (N,): what a tokenizer adds to every input
    says nothing of the utterance."""
    bare = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=max_tokens)
    pairs = zip(texts, bare["input_ids"], strict=True)
    return np.array([len(ids) > 0 and has_text(text) for text, ids in pairs], dtype=bool)


def _with_dialogue(
    table: pd.DataFrame, tokenizer: Any, max_tokens: int, context: Context
) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Each row's ids with the turns around it, and the span of the utterance in them."""
    speakers = table["speaker"].fillna("").astype(str)
    turns = [f"{s}: {t}" if s else t for s, t in zip(speakers, table["text"], strict=True)]
    ids = tokenizer(turns, add_special_tokens=False)["input_ids"]
    markers = Markers.of(tokenizer)
    built = [
        with_context(
            ids[row],
            [ids[turn] for turn in past],
            [ids[turn] for turn in future] if context == "both" else [],
            markers,
            max_tokens,
        )
        for row, past, future in neighbours(table)
    ]
    return [row for row, _ in built], [span for _, span in built]

"""Token ids of a corpus for one tokenizer, made once and then read memory-mapped.

Reads a checkpoint's tokenizer; writes cache/tokens/ (see storage/arrays.py). Used by data/text.py.
"""

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from meld_lightning.corpus.texts import has_text
from meld_lightning.data.context import Markers, neighbours, queries, with_context
from meld_lightning.errors import UserError
from meld_lightning.storage.arrays import Arrays, cached_arrays

WRITER_VERSION = 5  # to be raised if this file or data/context.py gives other ids for the same text

Context = Literal["none", "past", "both"]


@dataclass(frozen=True)
class Around:
    """What an utterance is read with.

    context: turns of its dialogue: none, the earlier ones (past), or the later ones as well (both).
    turns: the most turns of either side; None: as many as fit.
    query: whether a question for the speaker's emotion follows the utterance.
    """

    context: Context = "none"
    turns: int | None = None
    query: bool = False


@dataclass(frozen=True)
class Tokens:
    """Token ids of all rows, end to end.

    Args:
        ids: (sum of lengths,).
        offsets: where each row starts in `ids`, and the end of the last one (N + 1,).
        own: span of the utterance within its row, start and end, its markers included (N, 2).
        mask: where in its row the query's mask token is (N,); -1 without a query.
        present: False where the utterance has no text, or none that the tokenizer knows (N,).
        pad: id of the padding token.
    """

    ids: np.ndarray
    offsets: np.ndarray
    own: np.ndarray
    mask: np.ndarray
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
    around: Around,
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
        **asdict(around),
        "rows": len(table),
        "writer": WRITER_VERSION,
        "tokenizers": tokenizers.__version__,
        "transformers": transformers.__version__,
    }
    arrays = cached_arrays(
        cache, settings, lambda: _tokenise(table, checkpoint, max_tokens, around)
    )
    small = {name: np.asarray(arrays[name]) for name in ("offsets", "own", "mask", "present")}
    return Tokens(ids=arrays["ids"], pad=int(arrays["pad"]), **small)


def _tokenise(table: pd.DataFrame, checkpoint: Path, max_tokens: int, around: Around) -> Arrays:
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
    mask = [-1] * len(table)
    if around.context == "none":
        rows = tokenizer(table["text"].tolist(), truncation=True, max_length=max_tokens)[
            "input_ids"
        ]
        own = [(0, len(row)) for row in rows]
    else:
        asked = queries(_speakers(table), tokenizer) if around.query else [[]] * len(table)
        rows, own = _with_dialogue(table, tokenizer, max_tokens, around, asked)
        if around.query:
            mask = [end + len(ids) - 1 for (_, end), ids in zip(own, asked, strict=True)]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return {
        "ids": np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(offsets[-1])),
        "offsets": offsets,
        "own": np.asarray(own, dtype=np.int32).reshape(-1, 2),
        "mask": np.asarray(mask, dtype=np.int32),
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
    table: pd.DataFrame,
    tokenizer: Any,
    max_tokens: int,
    around: Around,
    asked: Sequence[list[int]],
) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Each row's ids with the turns around it and its query's ids, and the span of the
    utterance in them."""
    pairs = zip(_speakers(table), table["text"], strict=True)
    ids = tokenizer([f"{s}: {t}" if s else t for s, t in pairs], add_special_tokens=False)[
        "input_ids"
    ]
    markers = Markers.of(tokenizer)
    built = [
        with_context(
            ids[row],
            [ids[turn] for turn in past[: around.turns]],
            [ids[turn] for turn in future[: around.turns]] if around.context == "both" else [],
            markers,
            max_tokens,
            asked[row],
        )
        for row, past, future in neighbours(table)
    ]
    return [row for row, _ in built], [span for _, span in built]


def _speakers(table: pd.DataFrame) -> list[str]:
    """The name of each row's speaker; empty for an unknown one."""
    return table["speaker"].fillna("").astype(str).tolist()

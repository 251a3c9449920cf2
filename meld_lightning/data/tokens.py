"""Token ids of a corpus for one tokenizer, made once and kept memory-mapped.

Writes cache/tokens/ (see arrays.py). Used by data/text.py.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meld_lightning.errors import UserError
from meld_lightning.storage.arrays import Arrays, cached_arrays

WRITER_VERSION = 3  # raise it when the ids that this file writes change


@dataclass(frozen=True)
class Tokens:
    """ids (sum of lengths,); offsets (N + 1,) into ids; own (N, 2): first and past-the-last token
    of the utterance itself, markers included, counted from the row's first token."""

    ids: np.ndarray
    offsets: np.ndarray
    own: np.ndarray
    pad: int

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Tokens per row (N,)."""
        return np.diff(self.offsets)


def cached_tokens(
    table: pd.DataFrame,
    checkpoint: Path,
    max_tokens: int,
    context: str,
    cache: Path,
    digests: Sequence[str],
) -> Tokens:
    """The tokens of `table` under `checkpoint`'s tokenizer: read if the cache has them, else made
    and written."""
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
    return Tokens(
        arrays["ids"], np.asarray(arrays["offsets"]), np.asarray(arrays["own"]), int(arrays["pad"])
    )


def _tokenise(table: pd.DataFrame, checkpoint: Path, max_tokens: int, context: str) -> Arrays:
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    limit = _position_limit(AutoConfig.from_pretrained(checkpoint))
    if not 8 <= max_tokens <= limit:
        raise UserError(
            f"data.max_tokens={max_tokens}: expected 8 to {limit}, the most that {checkpoint.name}"
            " takes"
        )
    if tokenizer.pad_token_id is None:
        raise UserError(f"{checkpoint}: its tokenizer has no padding token, which batches need")
    texts = table["text"].tolist()
    if context == "none":
        rows = tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"]
        own = [(0, len(row)) for row in rows]
    else:
        speakers = table["speaker"].fillna("").astype(str)
        turns = [f"{s}: {t}" if s else t for s, t in zip(speakers, texts, strict=True)]
        ids = tokenizer(turns, add_special_tokens=False)["input_ids"]
        built = [
            _with_context(
                ids, row, past, future if context == "both" else [], tokenizer, max_tokens
            )
            for row, past, future in _neighbours(table)
        ]
        rows, own = [row for row, _ in built], [span for _, span in built]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(offsets[-1]))
    spans = np.asarray(own, dtype=np.int32).reshape(-1, 2)
    return {
        "ids": flat,
        "offsets": offsets,
        "own": spans,
        "pad": np.asarray(tokenizer.pad_token_id),
    }


def _position_limit(config: Any) -> int:
    """Longest input that the checkpoint's position embeddings allow; RoBERTa's start behind its
    padding index."""
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or limit < 0:
        return 1 << 20  # relative positions (XLNet, DeBERTa -1): memory is the only limit
    return int(limit) - (config.pad_token_id + 1 if "roberta" in config.model_type else 0)


def _neighbours(table: pd.DataFrame) -> Iterator[tuple[int, list[int], list[int]]]:
    """Per row of `table`, in its order: the row, earlier turns nearest first, later turns nearest
    first."""
    order: dict[int, tuple[list[int], list[int]]] = {}
    keys = [table["split"], table["dialogue_id"].astype("string").fillna("row " + table["key"])]
    for _, group in table.groupby(keys, sort=False):
        rows = list(
            group.sort_values("utterance_id", kind="stable").index
        )  # without ids: as the corpus lists them
        for place, row in enumerate(rows):
            order[row] = (rows[:place][::-1], rows[place + 1 :])
    return ((row, *order[row]) for row in range(len(table)))


def _with_context(
    ids: list[list[int]],
    row: int,
    past: list[int],
    future: list[int],
    tokenizer: Any,
    max_tokens: int,
) -> tuple[list[int], tuple[int, int]]:
    """[CLS] past [SEP] utterance [SEP] future [SEP]: nearest turns first until max_tokens, a turn
    that does not fit ends its side. Gives the ids and the span of the utterance with the separators
    that mark it."""
    first = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    mark = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else tokenizer.eos_token_id
    if first is None or mark is None:
        raise UserError(
            "data.context: this checkpoint's tokenizer has no separator token to mark the utterance"
            " with"
        )
    own = ids[row][: max_tokens - 4]
    room = max_tokens - 4 - len(own)
    before: list[int] = []
    after: list[int] = []
    open_sides = {"before", "after"}
    for earlier, later in zip_longest(past, future):
        for side, turn in (("before", earlier), ("after", later)):
            if turn is None or side not in open_sides:
                continue
            if len(ids[turn]) > room:
                open_sides.discard(side)
                continue
            room -= len(ids[turn])
            before, after = (
                (ids[turn] + before, after) if side == "before" else (before, after + ids[turn])
            )
    start = 1 + len(before) if before else 0  # with nothing before it, [CLS] is the marker in front
    whole = [
        first,
        *before,
        *([mark] if before else []),
        *own,
        mark,
        *after,
        *([mark] if after else []),
    ]
    return whole, (start, start + len(own) + 2)

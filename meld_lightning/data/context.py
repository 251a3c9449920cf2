"""Dialogue context: which turns surround an utterance, and how many of their tokens fit.

Used by data/tokens.py and data/text.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pandas as pd

from meld_lightning.errors import UserError

MARKERS = 4  # [CLS] ... [SEP] ... [SEP] ... [SEP]
SOMEONE = "someone"  # a speaker without a name, in a query


@dataclass(frozen=True)
class Markers:
    """Ids of the token that opens an input ([CLS]) and of the one that ends a segment ([SEP])."""

    first: int
    separator: int

    @staticmethod
    def of(tokenizer: Any) -> "Markers":
        """The markers of a tokenizer; UserError if it has none."""
        first = tokenizer.cls_token_id
        first = tokenizer.bos_token_id if first is None else first
        separator = tokenizer.sep_token_id
        separator = tokenizer.eos_token_id if separator is None else separator
        if first is None or separator is None:
            raise UserError(
                "data.context: this checkpoint's tokenizer has no separator token, which marks"
                " the utterance; use data.context=none or another checkpoint"
            )
        return Markers(first, separator)


def dialogues(table: pd.DataFrame) -> list[list[int]]:
    """The rows of each dialogue of each split, ordered by utterance_id; without ids they keep the
    order of the table. An utterance without a dialogue is one by itself."""
    keys = [table["split"], table["dialogue_id"].astype("string").fillna("row " + table["key"])]
    return [
        list(dialogue.sort_values("utterance_id", kind="stable").index)
        for _, dialogue in table.groupby(keys, sort=False)
    ]


def neighbours(table: pd.DataFrame) -> Iterator[tuple[int, list[int], list[int]]]:
    """For each row of `table`, in its order: the row, its earlier and its later turns, the nearest
    first."""
    turns: dict[int, tuple[list[int], list[int]]] = {}
    for rows in dialogues(table):
        for place, row in enumerate(rows):
            turns[row] = (rows[:place][::-1], rows[place + 1 :])
    return ((row, *turns[row]) for row in range(len(table)))


def queries(speakers: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Token ids of "NAME feels [MASK]" for each speaker: a question whose answer is the emotion, as
    EmotionFlow asks it (Song et al., ICASSP 2022); UserError without a mask token."""
    mask = tokenizer.mask_token_id
    if mask is None:
        raise UserError(
            "data.query=true: this checkpoint's tokenizer has no mask token; use data.query=false"
            " or another checkpoint"
        )
    texts = [f"{speaker or SOMEONE} feels" for speaker in speakers]
    return [[*ids, mask] for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def with_context(
    utterance: list[int],
    past: Sequence[list[int]],
    future: Sequence[list[int]],
    markers: Markers,
    max_tokens: int,
    query: Sequence[int] = (),
) -> tuple[list[int], tuple[int, int]]:
    """[CLS] past [SEP] utterance [SEP] future [SEP], at most `max_tokens` long; with a query
    [CLS] past [SEP] utterance [SEP] query [SEP] future [SEP].

    Turns are added nearest first, alternating between past and future. The first turn that does not
    fit ends its side.

    utterance, past, future: token ids of the utterance and of its turns, the nearest first.
    Returns the ids and the span (start, end) of the utterance; the span includes its two
    markers. The query's last token is at end + len(query) - 1. UserError where markers and query
    leave no token for the utterance.
    """
    asked = [*query, markers.separator] if query else []
    most = max_tokens - MARKERS - len(asked)
    if most < 1:
        raise UserError(
            f"data.max_tokens={max_tokens}: separators and the question for a speaker take"
            f" {MARKERS + len(asked)} tokens, which leaves none for the utterance; raise"
            " data.max_tokens, or use data.query=false"
        )
    own = utterance[:most]
    room = most - len(own)
    before: list[int] = []
    after: list[int] = []
    open_sides = {"before", "after"}
    for earlier, later in zip_longest(past, future):
        for side, turn in (("before", earlier), ("after", later)):
            if turn is None or side not in open_sides:
                continue
            if len(turn) > room:
                open_sides.discard(side)
                continue
            room -= len(turn)
            if side == "before":
                before = turn + before
            else:
                after = after + turn
    ids = [markers.first, *before]
    if before:
        ids.append(markers.separator)
    start = len(ids) - 1  # [SEP], or [CLS] if nothing precedes the utterance
    ids += [*own, markers.separator]
    end = len(ids)
    ids += asked
    if after:
        ids += [*after, markers.separator]
    return ids, (start, end)

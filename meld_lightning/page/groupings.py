"""Accuracy by groups of utterances as data for the page.

Computes with report/groups.py from the rows and, where it is at hand, the corpus; writes nothing.
Used by page/figures.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meld_lightning.corpus.table import VOTES
from meld_lightning.page.rows import SPLIT, FigureRow, Score, score
from meld_lightning.page.study_report import StudyReport
from meld_lightning.report.groups import (
    AGREEMENT,
    FIRST,
    LENGTHS,
    OTHER,
    PLACES,
    SAME,
    Names,
    by_agreement,
    by_length,
    by_place,
    by_presence,
    by_shift,
    by_speaker,
    group_estimates,
    range_names,
)
from meld_lightning.report.remarks import unit_kind
from meld_lightning.report.scored import Scored


@dataclass(frozen=True)
class GroupData:
    """One group: its accuracy, and that of the constant baseline."""

    name: str
    n: int
    accuracy: Score
    constant: float


@dataclass(frozen=True)
class Grouping:
    """One way to group utterances. rows: a row's place -> its groups, for rows that have them.

    missing: why no row has them, and what would fill it; "" if one has.
    """

    id: str
    title: str
    rows: dict[int, list[GroupData]]
    missing: str = ""


@dataclass(frozen=True)
class Facts:
    """What is known of a row's utterances, in the order of its keys; None where it is not known.

    place: in the dialogue, from 1.
    """

    place: list[int | None] | None
    dialogue: list[str] | None
    text: list[str | None] | None
    speaker: list[str | None] | None
    votes_NC: NDArray[np.float64] | None = None


NEEDS = {
    "place": "no dialogues are known: `prepare` a corpus that has them",
    "shift": "no dialogues are known: `prepare` a corpus that has them",
    "length": "the texts are not part of the evidence: run `report` where the corpus is prepared",
    "speaker": "the speakers are not part of the evidence: run `report` where the corpus is"
    " prepared",
    "agreement": "the corpus has no readers' votes: `prepare` it with corpus.votes=FILE",
    "presence": "no modality is missing from any utterance",
}
TITLES = {
    "place": "By place in the dialogue",
    "shift": "By shift of emotion",
    "length": "By number of words",
    "speaker": "By speaker",
    "agreement": "By agreement of readers",
    "presence": "By the modalities that are there",
}
ORDERS: dict[str, Sequence[str]] = {
    "place": range_names(PLACES),
    "shift": (FIRST, SAME, OTHER),
    "length": range_names(LENGTHS),
    "agreement": AGREEMENT[::-1],
}


def groupings(report: StudyReport, rows: Sequence[FigureRow]) -> list[Grouping]:
    """Every way to group utterances, with what would fill those that the evidence cannot."""
    sources = report.sources
    runs = {run.result.hash: row for row in rows for run in row.runs}
    found: dict[str, dict[int, list[GroupData]]] = {name: {} for name in TITLES}
    cache: dict[tuple[str, ...], Facts] = {}
    for place, row in enumerate(rows):
        first = row.scored[0]
        keys = tuple(first.keys)
        if keys not in cache:
            cache[keys] = _facts(report, row)
        named = _names(cache[keys], first)
        named["presence"] = _presence(row, sources, runs)
        for name, names_N in named.items():
            if names_N is not None:
                found[name][place] = _groups(row, names_N, ORDERS.get(name, ()))
    return [
        Grouping(name, title, found[name], "" if found[name] else NEEDS[name])
        for name, title in TITLES.items()
    ]


def _groups(row: FigureRow, names_N: Names, order: Sequence[str]) -> list[GroupData]:
    majority = row.runs[0].result.train_majority
    return [
        GroupData(one.name, one.n, score(one.accuracy), round(one.constant, 4))
        for one in group_estimates(row.scored, names_N, majority, order)
    ]


def _names(facts: Facts, first: Scored) -> dict[str, Names | None]:
    labels = [first.labels[label] for label in first.true]
    in_dialogues = facts.place is not None and facts.dialogue is not None
    return {
        "place": by_place(facts.place or []) if in_dialogues else None,
        "shift": by_shift(facts.place or [], labels, facts.dialogue or [])
        if in_dialogues
        else None,
        "length": by_length(facts.text) if facts.text else None,
        "speaker": by_speaker(facts.speaker) if facts.speaker else None,
        "agreement": None if facts.votes_NC is None else by_agreement(facts.votes_NC),
    }


def _presence(
    row: FigureRow, sources: Mapping[str, Mapping[str, str]], rows: Mapping[str, FigureRow]
) -> Names | None:
    """The modalities that utterances have; None if all have the same."""
    fused = sources.get(row.runs[0].result.hash, {})
    members = {name: rows[one].scored[0] for name, one in fused.items() if one in rows}
    present = {name: one.present for name, one in members.items()} or {
        row.runs[0].result.modality: row.scored[0].present
    }
    names_N = by_presence(present)
    return names_N if len(set(names_N)) > 1 else None


def _facts(report: StudyReport, row: FigureRow) -> Facts:
    """From the corpus; without it, from the units where these are dialogues or speakers."""
    first = row.scored[0]
    if report.corpus is not None and set(first.keys) <= set(report.corpus.table["key"]):
        table = report.corpus.table.set_index("key").loc[list(first.keys)]
        dialogues = [None if one is None else str(one) for one in table["dialogue_id"]]
        known = all(one is not None for one in dialogues)
        votes = [name for name in table.columns if name.startswith(VOTES)]
        speakers = [None if one is None else str(one) for one in table["speaker"]]
        return Facts(
            _places(table.index, table["dialogue_id"], table["utterance_id"]) if known else None,
            [str(one) for one in dialogues] if known else None,
            list(table["text"]) if table["text"].str.strip().any() else None,
            speakers if len(set(speakers)) > 1 else None,
            table[votes].to_numpy(np.float64) if votes else None,
        )
    frame = row.runs[0].logits(SPLIT)
    units = dict(zip(frame["key"], frame["unit"].astype(str), strict=True))
    kinds = Counter(unit_kind(unit, str(key), SPLIT) for key, unit in units.items())
    ordered = [units[key] for key in first.keys]
    if set(kinds) == {"dialogues"}:
        seen: Counter[str] = Counter()
        places = {}
        for key, unit in units.items():  # in the order of the corpus
            seen[unit] += 1
            places[key] = seen[unit]
        return Facts([places[key] for key in first.keys], ordered, None, None)
    several = set(kinds) == {"speakers"} and len(set(ordered)) > 1
    return Facts(None, None, None, list(ordered) if several else None)


def _places(
    keys: Sequence[str], dialogues: Sequence[object], ids: Sequence[object]
) -> list[int | None]:
    """Each utterance's rank within its dialogue, from 1."""
    ranked = sorted(
        zip(keys, dialogues, ids, strict=True),
        key=lambda one: (str(one[1]), 0 if one[2] is None else int(str(one[2]))),
    )
    seen: Counter[str] = Counter()
    places: dict[str, int] = {}
    for key, dialogue, _ in ranked:
        seen[str(dialogue)] += 1
        places[key] = seen[str(dialogue)]
    return [places[key] for key in keys]

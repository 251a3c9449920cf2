"""Accuracy by groups of utterances as data for the page.

Computes with report/groupings.py and report/group_accuracy.py from the rows and, where it is at
hand, the corpus; writes nothing. Used by page/figures.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from meld_lightning.corpus.table import VOTES
from meld_lightning.page.rows import DIGITS, SPLIT, FigureRow, Score, score
from meld_lightning.page.study_report import StudyReport
from meld_lightning.report.group_accuracy import group_accuracies
from meld_lightning.report.groupings import EACH, OTHERS, Grouping, groupings
from meld_lightning.report.remarks import unit_kind


@dataclass(frozen=True)
class GroupData:
    """One group: its accuracy, and that of the constant baseline."""

    name: str
    n: int
    accuracy: Score
    constant: float


@dataclass(frozen=True)
class GroupingData:
    """One way to group utterances. rows: a row's place -> its groups, for rows that have several.

    missing: why no row has them, and what would fill it; "" if one has.
    """

    id: str
    title: str
    rows: dict[int, list[GroupData]]
    missing: str = ""


PRESENT = "present"
TITLES = {
    "position": "By place in the dialogue",
    "shift": "By shift of emotion",
    "length": "By length of the utterance",
    "each_speaker": "By speaker, one by one",
    "agreement": "By agreement of readers",
    PRESENT: "By the modalities that are present",
}
NO_DIALOGUES = "the corpus has no dialogues"
NEEDS = {
    "position": NO_DIALOGUES,
    "shift": NO_DIALOGUES,
    "length": "the evidence holds no texts: run `report` where the corpus is prepared",
    "each_speaker": "the evidence names no speakers: run `report` where the corpus is prepared",
    "agreement": "the corpus has no readers' votes: `prepare` it with `corpus.votes=FILE`",
    PRESENT: "no modality is missing from any utterance",
}


def groupings_data(report: StudyReport, rows: Sequence[FigureRow]) -> list[GroupingData]:
    """Every way to group utterances, with what would fill those that the evidence cannot."""
    runs = {run.result.hash: row for row in rows for run in row.runs}
    found: dict[str, dict[int, list[GroupData]]] = {name: {} for name in TITLES}
    cache: dict[tuple[str, ...], list[Grouping]] = {}
    for place, row in enumerate(rows):
        keys = tuple(row.scored[0].keys)
        if keys not in cache:
            cache[keys] = _of_utterances(_known(report, row))
        for grouping in (*cache[keys], _by_presence(row, report.sources, runs)):
            groups = _groups(row, grouping)
            if len(groups) > 1:
                found[grouping.name][place] = groups
    return [
        GroupingData(
            name, _title(name, title, found[name]), found[name], "" if found[name] else NEEDS[name]
        )
        for name, title in TITLES.items()
    ]


def _title(name: str, title: str, rows: Mapping[int, Sequence[GroupData]]) -> str:
    """The grouping's title; for speakers it says which of them are shown."""
    some = any(group.name == OTHERS for groups in rows.values() for group in groups)
    shown = f"the {EACH} with the most utterances, and the others together"
    return f"By speaker: {shown}" if name == "each_speaker" and some else title


def _groups(row: FigureRow, grouping: Grouping) -> list[GroupData]:
    majority = row.runs[0].result.train_majority
    return [
        GroupData(one.name, one.n, score(one.accuracy), round(one.constant, DIGITS))
        for one in group_accuracies(row.scored, grouping, majority)
    ]


def _of_utterances(known: pd.DataFrame) -> list[Grouping]:
    """The groupings that need no more than what is known of the utterances."""
    has_votes = any(name.startswith(VOTES) for name in known.columns)
    skipped = {PRESENT} if has_votes else {PRESENT, "agreement"}
    return groupings(known, [name for name in TITLES if name not in skipped], {}, SPLIT)


def _by_presence(
    row: FigureRow, sources: Mapping[str, Mapping[str, str]], rows: Mapping[str, FigureRow]
) -> Grouping:
    """Which of the modalities that a row reads each utterance has."""
    first, run = row.scored[0], row.runs[0].result
    fused = sources.get(run.hash, {})
    present = {name: rows[one].scored[0].present for name, one in fused.items() if one in rows}
    present = present or {run.modality: first.present}
    names = [
        " + ".join(name for name, has in zip(present, flags, strict=True) if has) or "none"
        for flags in zip(*present.values(), strict=True)
    ]
    by_size = tuple(name for name, _ in Counter(names).most_common())
    group_of = dict(zip(map(str, first.keys), names, strict=True))
    return Grouping(PRESENT, TITLES[PRESENT], by_size, group_of)


def _known(report: StudyReport, row: FigureRow) -> pd.DataFrame:
    """The row's utterances as rows of a corpus table, with the true label as their emotion; without
    the corpus, dialogues and speakers where the units are such."""
    first = row.scored[0]
    true = {
        str(key): first.labels[label] for key, label in zip(first.keys, first.true, strict=True)
    }
    if report.corpus is not None and set(true) <= set(report.corpus.table["key"]):
        table = report.corpus.table
        table = table[table["key"].isin(true.keys())]
        return table.assign(split=SPLIT, emotion=table["key"].map(true))
    frame = row.runs[0].logits(SPLIT)
    keys, units = frame["key"].astype(str), frame["unit"].astype(str)
    kinds = {unit_kind(unit, key, SPLIT) for unit, key in zip(units, keys, strict=True)}
    nothing = pd.Series([None] * len(frame), index=frame.index, dtype=object)
    return pd.DataFrame(
        {
            "key": keys,
            "split": SPLIT,
            "dialogue_id": units if kinds == {"dialogues"} else nothing,
            "utterance_id": range(len(frame)),  # in the order of the corpus
            "speaker": units if kinds == {"speakers"} else nothing,
            "text": nothing,
            "emotion": keys.map(true),
        }
    )

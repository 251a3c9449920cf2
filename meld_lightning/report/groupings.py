"""Groups of utterances that are scored apart: by speaker, length, place in the dialogue, shift of
emotion, agreement of readers, or what is known of the speakers.

Reads the prepared corpus; writes nothing. Used by audits, by the further grids below tables and by
the page's figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meld_lightning.config.tree import plain
from meld_lightning.corpus import EMOTIONS, prepared_corpus
from meld_lightning.corpus.emotionlines import LEVELS, agreement, votes_of
from meld_lightning.errors import NotPrepared
from meld_lightning.report.folds import unpooled
from meld_lightning.study.sources import FinishedRun

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

FREQUENT = 6  # MELD's main characters
EACH = 12  # speakers who are scored one by one
OTHERS = "all others"
# group -> the least number of words (LENGTHS) or turn number (PLACES) in it
LENGTHS = {"1 to 3 words": 1, "4 to 8 words": 4, "9 to 15 words": 9, "16 words or more": 16}
PLACES = {"first turn": 1, "turns 2 to 4": 2, "turns 5 to 9": 5, "turn 10 or later": 10}
# settings of its corpus
OF_THE_RUN = ("split", "folds", "fold", "test", "test_by", "columns", "labels")

Speakers = Mapping[str, Mapping[str, str]]  # grouping -> group -> pattern of the speakers' names


@dataclass(frozen=True)
class Grouping:
    """One way to divide utterances into groups.

    name: a key of BY, or one that the study declares.
    groups: their names, in order.
    group_of: utterance key -> its group; an utterance whose group is not known is absent.
    """

    name: str
    title: str
    groups: tuple[str, ...]
    group_of: Mapping[str, str]


def groupings_of(
    cfg: DictConfig, run: FinishedRun, names: Sequence[str], speakers: Speakers, split: str
) -> list[Grouping]:
    """The groupings of a run's utterances of `split`.

    cfg: the study's config, which says where its corpus lies; how that is split is the run's own.

    Raises NotPrepared where the corpus that the run was made from is not prepared here, or a
    grouping needs votes and there are none.
    """
    found: list[list[Grouping]] = []
    for part in unpooled(run):
        own = {
            name: part.config.corpus[name]
            for name in OF_THE_RUN
            if part.config.corpus.get(name) is not None
        }
        corpus = prepared_corpus({**plain(cfg.corpus), **own}, Path(cfg.paths.cache))
        if corpus.digest != part.result.digests["corpus"]:
            raise NotPrepared(f"{part.folder}: was made from another corpus than {cfg.corpus.root}")
        found.append(groupings(corpus.table, names, speakers, split))
    return [_joined(of_parts) for of_parts in zip(*found, strict=True)]


def groupings(
    table: pd.DataFrame, names: Sequence[str], speakers: Speakers, split: str
) -> list[Grouping]:
    """The groupings of the corpus table's rows of `split`; NotPrepared for agreement without
    votes."""
    rows = table[table["split"] == split]
    train = table[table["split"] == "train"]
    return [
        *(BY[name](rows, train) for name in names),
        *(_declared(name, groups, rows) for name, groups in speakers.items()),
    ]


def _joined(parts: Sequence[Grouping]) -> Grouping:
    """One grouping of the utterances of all folds."""
    group_of = {key: group for one in parts for key, group in one.group_of.items()}
    groups = dict.fromkeys(group for one in parts for group in one.groups)  # speakers of each fold
    return Grouping(parts[0].name, parts[0].title, tuple(groups), group_of)


def _by_speaker(rows: pd.DataFrame, train: pd.DataFrame) -> Grouping:
    counts = train["speaker"].dropna().value_counts()
    # among equals the first by name, whatever the order of the rows
    frequent = sorted(counts.index, key=lambda name: (-counts[name], name))[:FREQUENT]
    groups = (f"{FREQUENT} most frequent in train", OTHERS)
    spoken = rows[rows["speaker"].notna()]
    first = spoken["speaker"].isin(frequent)
    return Grouping("speaker", "By speaker", groups, _named(spoken, np.where(first, *groups)))


def _by_each_speaker(rows: pd.DataFrame, train: pd.DataFrame) -> Grouping:
    """The speakers with most of these utterances, one by one, and all others together."""
    spoken = rows[rows["speaker"].notna()]
    counts = spoken["speaker"].value_counts()
    ranked = sorted(counts.index, key=lambda name: (-counts[name], name))[:EACH]
    groups = tuple(map(str, ranked)) + ((OTHERS,) if len(counts) > EACH else ())
    named = spoken["speaker"].where(spoken["speaker"].isin(ranked), OTHERS)
    return Grouping("each_speaker", "By speaker, one by one", groups, _named(spoken, named))


def _by_seen(rows: pd.DataFrame, train: pd.DataFrame) -> Grouping:
    groups = ("speaks in train", "does not speak in train")
    spoken = rows[rows["speaker"].notna()]
    seen = spoken["speaker"].isin(set(train["speaker"].dropna()))
    return Grouping(
        "seen",
        "By whether the speaker is in train",
        groups,
        _named(spoken, np.where(seen, *groups)),
    )


def _by_length(rows: pd.DataFrame, train: pd.DataFrame) -> Grouping:
    words = rows["text"].str.split().str.len()
    return _binned("length", "By length of the utterance", rows, words, LENGTHS)


def _by_position(rows: pd.DataFrame, train: pd.DataFrame) -> Grouping:
    """The place among the rows that the corpus has of a dialogue, not the number that the row
    bears."""
    in_dialogue = rows[rows["dialogue_id"].notna()]
    ordered = in_dialogue.sort_values("utterance_id", kind="stable")
    place = ordered.groupby("dialogue_id").cumcount().reindex(in_dialogue.index) + 1
    return _binned("position", "By place in the dialogue", in_dialogue, place, PLACES)


def _by_shift(rows: pd.DataFrame, train: pd.DataFrame) -> Grouping:
    """Whether the true emotion is that of the turn before, among the turns that the corpus has."""
    in_dialogue = rows[rows["dialogue_id"].notna()]
    ordered = in_dialogue.sort_values("utterance_id", kind="stable")
    turns = ordered.groupby("dialogue_id")
    groups = ("first turn", "emotion stays", "emotion changes")
    group_N = np.select(
        [turns.cumcount() == 0, ordered["emotion"] == turns["emotion"].shift()],
        groups[:2],
        groups[2],
    )
    return Grouping("shift", "By shift of emotion", groups, _named(ordered, group_N))


def _by_agreement(rows: pd.DataFrame, train: pd.DataFrame) -> Grouping:
    votes_NC = votes_of(rows, EMOTIONS)
    if votes_NC is None:
        raise NotPrepared("agreement of readers needs their votes: corpus.votes=FILE")
    groups = {one: "no majority" if one == "tie" else f"{one} of 5 agree" for one in LEVELS}
    level_N = agreement(votes_NC)
    joined = rows[level_N != ""]
    named = _named(joined, np.array([groups[level] for level in level_N if level]))
    return Grouping("agreement", "By agreement of readers", tuple(groups.values()), named)


def _declared(name: str, patterns: Mapping[str, str], rows: pd.DataFrame) -> Grouping:
    """Groups of speakers whose names match a pattern, as a file name does; the first that fits."""
    spoken = rows[rows["speaker"].notna()]
    group_of = {}
    for key, speaker in zip(spoken["key"], spoken["speaker"], strict=True):
        fitting = [group for group, pattern in patterns.items() if fnmatchcase(speaker, pattern)]
        if fitting:
            group_of[key] = fitting[0]
    return Grouping(name, f"By {name} of the speaker", tuple(patterns), group_of)


def _binned(
    name: str, title: str, rows: pd.DataFrame, values: pd.Series, least: Mapping[str, int]
) -> Grouping:
    groups, starts = tuple(least), list(least.values())
    known_N = (values >= starts[0]).to_numpy()
    place_N = np.searchsorted(starts, values[known_N].to_numpy(), "right") - 1
    return Grouping(name, title, groups, _named(rows[known_N], np.array(groups)[place_N]))


def _named(rows: pd.DataFrame, group_N: Any) -> dict[str, str]:
    return dict(zip(rows["key"], (str(group) for group in group_N), strict=True))


BY: dict[str, Callable[[pd.DataFrame, pd.DataFrame], Grouping]] = {
    "speaker": _by_speaker,
    "each_speaker": _by_each_speaker,
    "seen": _by_seen,
    "length": _by_length,
    "position": _by_position,
    "shift": _by_shift,
    "agreement": _by_agreement,
}

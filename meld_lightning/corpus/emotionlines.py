"""Readers' votes: the lines of EmotionLines' own file, joined to the rows of a corpus.

Five people read the text of each line alone and each chose an emotion (Chen et al., LREC 2018).
MELD took its dialogues from there. Reads EmotionLines' file; writes nothing. Used by load.py;
corpus/report/votes.py and data/soft_labels.py read the votes from the corpus table. The file's
licence (CC BY-NC-ND 4.0) forbids passing on anything joined with it: the votes of single rows stay
in the prepared corpus.

Axes: N rows, C emotions.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meld_lightning.corpus.table import VOTES
from meld_lightning.errors import UserError
from meld_lightning.storage.json_files import read_json

# the emotion that each digit of an annotation counts votes for
VOTED = ("neutral", "joy", "sadness", "fear", "anger", "surprise", "disgust")
LEVELS = ("5", "4", "3", "tie")  # readers who agree; tie: no three do, as with 2-2-1 and 2-1-1-1
EXPECTED = "expected EmotionLines' own file, such as friends.json"
SIMILAR = 0.6  # difflib's ratio from which two texts between the same lines count as one


@dataclass(frozen=True)
class Line:
    """One line of EmotionLines: speaker, its text's letters and digits, votes in VOTED's order."""

    speaker: str
    letters: str
    votes: tuple[int, ...]


Dialogue = Sequence[Line]


def read_emotionlines(path: Path) -> list[Dialogue]:
    """The dialogues of EmotionLines' file; UserError, one line, if it is another kind of file."""
    try:
        dialogues = read_json(path)
    except FileNotFoundError as error:
        raise UserError(f"corpus.votes={path}: no such file; {EXPECTED}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"corpus.votes={path}: cannot be read as JSON; {EXPECTED}") from error
    if not isinstance(dialogues, list) or not all(isinstance(one, list) for one in dialogues):
        raise UserError(f"corpus.votes={path}: is no list of dialogues; {EXPECTED}")
    return [
        [_line(path, number, place, line) for place, line in enumerate(dialogue, 1)]
        for number, dialogue in enumerate(dialogues, 1)
    ]


def _line(path: Path, number: int, place: int, line: Any) -> Line:
    where = f"corpus.votes={path}: dialogue {number}, line {place}"
    fields = line if isinstance(line, dict) else {}
    for key in ("speaker", "utterance", "annotation"):
        if not isinstance(fields.get(key), str):
            raise UserError(f"{where}: has no text under '{key}'; {EXPECTED}")
    digits = fields["annotation"]
    if not re.fullmatch(f"[0-9]{{{len(VOTED)}}}", digits) or not any(map(int, digits)):
        raise UserError(
            f"{where}: annotation {digits!r}, expected {len(VOTED)} digits, the votes for"
            f" {', '.join(VOTED)}"
        )
    return Line(fields["speaker"], _letters(fields["utterance"]), tuple(map(int, digits)))


def _letters(text: str) -> str:
    """Letters and digits in lower case: what every copy of MELD has in common with EmotionLines,
    however its other characters were encoded and repaired."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


@dataclass(frozen=True)
class JoinedVotes:
    """The votes of the rows of a corpus.

    votes_NC: number of votes for each emotion, in the order of VOTED; zeros if not joined.
    ambiguous_N: rows not joined because two dialogues of EmotionLines fit equally well.
    other_lines: lines of EmotionLines that no row was joined to.
    """

    votes_NC: np.ndarray
    ambiguous_N: np.ndarray
    other_lines: int


def join_votes(table: pd.DataFrame, dialogues: Sequence[Dialogue]) -> JoinedVotes:
    """Finds each row's line. A dialogue of the corpus is aligned with the dialogue of EmotionLines
    that shares most texts with it; what is left of it, if it goes on in another one, with that."""
    finder = _Finder(dialogues)
    votes_NC = np.zeros((len(table), len(VOTED)), np.int64)
    ambiguous_N = np.zeros(len(table), bool)
    used: set[tuple[int, int]] = set()
    texts, speakers = [_letters(text) for text in table["text"]], list(table["speaker"])
    for _, places in table.reset_index(drop=True).groupby(["split", "dialogue_id"]).groups.items():
        rows = [int(place) for place in places]
        while rows:
            number = finder.find([texts[row] for row in rows], [speakers[row] for row in rows])
            if number is None:
                break
            if number < 0:
                ambiguous_N[rows] = True
                break
            pairs = dict(_aligned([texts[row] for row in rows], dialogues[number]))
            for place, line in pairs.items():
                votes_NC[rows[place]] = dialogues[number][line].votes
                used.add((number, line))
            left = [row for place, row in enumerate(rows) if place not in pairs]
            rows = left if len(left) > 1 and pairs else []  # a single text fits anywhere
    lines = sum(len(dialogue) for dialogue in dialogues)
    return JoinedVotes(votes_NC, ambiguous_N, lines - len(used))


class _Finder:
    """Finds the dialogue of EmotionLines that shares most texts with given ones."""

    def __init__(self, dialogues: Sequence[Dialogue]) -> None:
        self.texts = [Counter(line.letters for line in one) for one in dialogues]
        self.spoken = [Counter((line.letters, line.speaker) for line in one) for one in dialogues]
        self.by_text: dict[str, set[int]] = {}
        for number, texts in enumerate(self.texts):
            for text in texts:
                self.by_text.setdefault(text, set()).add(number)

    def find(self, texts: Sequence[str], speakers: Sequence[Any]) -> int | None:
        """Its number: the one with most shared texts, among equals that with most shared texts of
        the same speaker. None if none shares any; -1 if two are equal in both."""
        ours, spoken = Counter(texts), Counter(zip(texts, speakers, strict=True))
        numbers = set().union(*(self.by_text.get(text, set()) for text in ours))
        ranked = sorted(
            ((self.texts[one] & ours).total(), (self.spoken[one] & spoken).total(), -one)
            for one in numbers
        )
        if not ranked:
            return None
        equal = len(ranked) > 1 and ranked[-1][:2] == ranked[-2][:2]
        return -1 if equal else -ranked[-1][2]


def _aligned(texts: Sequence[str], dialogue: Dialogue) -> Iterator[tuple[int, int]]:
    """Places of the same line in both, in order: equal texts, and similar ones between them."""
    theirs = [line.letters for line in dialogue]
    matcher = SequenceMatcher(None, texts, theirs, autojunk=False)
    for kind, start, end, first, last in matcher.get_opcodes():
        if kind == "equal":
            yield from zip(range(start, end), range(first, last), strict=True)
        for place in range(start, end) if kind == "replace" else ():
            similar = (line for line in range(first, last) if _alike(texts[place], theirs[line]))
            if (line := next(similar, None)) is not None:
                yield place, line
                first = line + 1


def _alike(one: str, other: str) -> bool:
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= SIMILAR


def with_votes(table: pd.DataFrame, emotions: Sequence[str], joined: JoinedVotes) -> pd.DataFrame:
    """The table with a column of votes for each emotion, <NA> in rows that were not joined;
    UserError if the corpus lacks one of the emotions that were voted for."""
    if absent := [name for name in VOTED if name not in emotions]:
        raise UserError(
            f"corpus.votes: counts votes for {', '.join(VOTED)}, but the corpus has no"
            f" {' or '.join(absent)}; leave corpus.votes out"
        )
    if not joined.votes_NC.any():
        raise UserError(f"corpus.votes: no row of the corpus is in the file; {EXPECTED}")
    have_N = joined.votes_NC.any(1)
    columns = {
        f"{VOTES}{name}": pd.Series(joined.votes_NC[:, VOTED.index(name)], table.index)
        .astype("Int64")
        .where(pd.Series(have_N, table.index))
        for name in emotions
        if name in VOTED
    }
    return table.assign(**columns)


def votes_of(table: pd.DataFrame, labels: Sequence[str]) -> np.ndarray | None:
    """The votes of each row for `labels` (N, C), zeros where there are none; None if the table was
    prepared without votes."""
    if not any(str(column).startswith(VOTES) for column in table):
        return None
    return table.reindex(columns=[f"{VOTES}{name}" for name in labels]).fillna(0).to_numpy(np.int64)


def required_votes(table: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Like `votes_of`, for a training on them; UserError where there are none, or where `labels`
    are no emotions."""
    votes_NC = votes_of(table, labels)
    if votes_NC is None:
        raise UserError(
            "data.soft_labels needs readers' votes, and the corpus was prepared without: give"
            " prepare and train corpus.votes=FILE, EmotionLines' friends.json, or leave"
            " data.soft_labels out"
        )
    if not set(VOTED) <= set(labels):
        raise UserError("data.soft_labels: readers voted for emotions; it needs target=emotion")
    return votes_NC


def agreement(votes_NC: np.ndarray) -> np.ndarray:
    """The level of LEVELS of each row's votes (N,), as text; "" without votes."""
    most_N = votes_NC.max(1)
    levels_N = np.where(most_N >= 3, most_N.astype(str), "tie")
    return np.where(votes_NC.any(1), levels_N, "")

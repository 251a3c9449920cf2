"""Counts of people's votes: how many chose each label for each clip, by what they perceived.

Reads one file, in one of two forms: a table (CSV or Parquet) with a row for each clip, its id or
key, and columns such as voice_joy; or tabulatedVotes.csv as CREMA-D publishes it. Used by
readers/crema_d.py and data/votes.py.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from meld_lightning.corpus.numbers import numbers_of, shown
from meld_lightning.errors import UserError, first_line, near_miss
from meld_lightning.storage.parquet import read_parquet

KEYS = ("key", "id")  # names of the column that identifies a clip
# CREMA-D's processedResults/tabulatedVotes.csv numbers its rows 100000 times the kind of the
# presentation plus the clip's number (docs/README.md and tabulateVotesV2.r of its repository)
PUBLISHED = "tabulatedVotes.csv"
MOST = 10**6  # votes on a clip; int64 and its sums over any corpus hold them
PERCEIVED = {1: "voice", 2: "face", 3: "both"}
LETTERS = {
    "A": "anger",
    "D": "disgust",
    "F": "fear",
    "H": "joy",
    "N": "neutral",
    "S": "sadness",
}


def votes_file(path: Path) -> Path:
    """`path` itself, or CREMA-D's file of votes in it if it is a folder; UserError if there is
    none."""
    if path.is_file():
        return path
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; give a file of votes")
    found = sorted(path.rglob(PUBLISHED))
    if len(found) != 1:
        said = f"{len(found)} files are called" if found else "no file is called"
        raise UserError(
            f"{path}: {said} {PUBLISHED} there, expected one, as in CREMA-D's repository; give the"
            " file itself"
        )
    return found[0]


def read_votes(path: Path) -> pd.DataFrame:
    """The votes in `path` (see `votes_file`): a row for each clip, under its key, and a column
    <perceived>_<label> for each label. UserError if the file is in neither form."""
    path = votes_file(path)
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = read_parquet(path)
        else:
            frame = pd.read_csv(path, dtype=dict.fromkeys(KEYS, str), encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # pandas' and pyarrow's errors are ValueErrors
        said = first_line(error)
        raise UserError(f"{path}: cannot be read ({said}); give a CSV or Parquet file") from error
    if {"fileName", *LETTERS} <= set(frame.columns):
        return _one_row_for_each_clip(path, frame)
    key = next((name for name in KEYS if name in frame), None)
    if key is None:
        raise UserError(
            f"{path}: no column {' or '.join(KEYS)}; its columns:"
            f" {', '.join(map(str, frame.columns[:20]))}; a file of votes has a row for each clip"
        )
    return _unique(path, frame.assign(**{key: frame[key].astype(str)}).set_index(key))


def counts_of(path: Path, perceived: str, labels: Sequence[str]) -> pd.DataFrame:
    """The votes of people who perceived the clips in one way: a row for each clip, a column for
    each of `labels`. UserError if a column is missing or a count is not a whole number up to
    MOST."""
    frame = read_votes(path)
    names = [f"{perceived}_{label}" for label in labels]
    if absent := [name for name in names if name not in frame]:
        raise UserError(
            f"{path}: no column {absent[0]}{near_miss(absent[0], map(str, frame.columns))};"
            f" expected one for each label of the corpus: {', '.join(names)}"
        )
    counts = frame[names].apply(numbers_of).astype(np.float64)
    wrong = counts.isna() | (counts < 0) | (counts > MOST) | (counts % 1 != 0)
    if wrong.to_numpy().any():
        row, column = np.argwhere(wrong.to_numpy())[0]
        raise UserError(
            f"{path}: {names[column]} of {counts.index[row]} is"
            f" {shown(frame[names].iloc[row, column])}, expected a number of votes"
        )
    return counts.astype(np.int64).set_axis(list(labels), axis=1)


def _one_row_for_each_clip(path: Path, published: pd.DataFrame) -> pd.DataFrame:
    """CREMA-D's own rows, one for each clip and way to perceive it, side by side."""
    numbers = published.iloc[:, 0]
    kinds = numbers_of(numbers).fillna(0).clip(0, 1e9).astype(int) // 100_000
    if unknown := sorted(set(kinds) - set(PERCEIVED)):
        raise UserError(
            f"{path}: its first column has '{numbers[kinds == unknown[0]].iloc[0]}', expected a"
            " number that begins with 1 (voice), 2 (face) or 3 (both); download the file again"
        )
    clips = published["fileName"].astype(str).set_axis(published.index)
    counts = published.assign(**{letter: numbers_of(published[letter]) for letter in LETTERS})
    if (wrong := counts[list(LETTERS)].isna().any(axis=1)).any():
        raise UserError(
            f"{path}: the counts of {clips[wrong].iloc[0]} are not all numbers; download the file"
            " again"
        )
    sides = [
        _unique(
            path,
            counts.loc[kinds == kind, list(LETTERS)]
            .set_axis([f"{perceived}_{label}" for label in LETTERS.values()], axis=1)
            .set_index(clips[kinds == kind].rename("key")),
        )
        for kind, perceived in PERCEIVED.items()
    ]
    return pd.concat(sides, axis=1).fillna(0).sort_index()


def _unique(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    if frame.index.hasnans:
        rows = f"{int(frame.index.isna().sum())} of {len(frame)} rows"
        raise UserError(f"{path}: no {frame.index.name} in {rows}; expected one for each clip")
    if frame.index.has_duplicates:
        twice = frame.index[frame.index.duplicated()][0]
        raise UserError(f"{path}: {twice} occurs twice; expected one row for each clip")
    return frame

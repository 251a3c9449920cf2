"""Reads imported predictions, checks them, and aligns them with the corpus.

Reads one CSV or Parquet file; writes nothing. Used by training/imported.py.

Axes: N rows of the corpus table, C labels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from meld_lightning.corpus.numbers import numbers_of, shown
from meld_lightning.errors import UserError, first_line, near_miss
from meld_lightning.runs.logits import FIXED, PREFIX
from meld_lightning.storage.parquet import read_parquet

KEY = "key"
# columns that may stand beside key and labels, as in the files that runs leave
IGNORED = {*FIXED, "split", "speaker", "text", "true_label", "predicted_label", "confidence"}
SUM_TOLERANCE = 0.01  # of probabilities that were written with two decimals
SMALLEST = 1e-6  # a probability of 0 counts as this: its logarithm has to be finite


class Predictions(NamedTuple):
    """logits_NC: log-probabilities, or logits as given; NaN if a prediction is missing. given_N:
    whether the file has a prediction for the row."""

    logits_NC: np.ndarray
    given_N: np.ndarray


def read_predictions(
    path: Path, keys: Sequence[str], labels: Sequence[str], scores: str
) -> Predictions:
    """The predictions in `path` for the utterances `keys`, in their order.

    scores: probabilities or logits. UserError if the file cannot be read, if a column is missing or
    unknown, if a key is unknown or occurs twice, or if numbers are not valid probabilities.
    """
    frame = _read(path)
    columns = _label_columns(path, frame, labels)
    frame[KEY] = frame[KEY].astype(str)
    _check_keys(path, frame[KEY], keys)
    numbers = frame[columns].apply(numbers_of).astype(np.float64)  # True and False as 1 and 0
    _check_numbers(path, frame, columns, numbers)
    frame, numbers = frame[numbers.notna().all(axis=1)], numbers.dropna()
    if scores == "probabilities":
        _check_probabilities(path, frame[KEY], numbers)
        clipped = numbers.clip(lower=SMALLEST)
        numbers = np.log(clipped.div(clipped.sum(axis=1), axis=0))
    aligned = numbers.set_axis(frame[KEY]).reindex(list(keys))
    given_N = aligned.notna().all(axis=1).to_numpy()
    return Predictions(aligned.to_numpy(np.float64), given_N)


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".parquet":
            frame = read_parquet(path)
        else:
            frame = pd.read_csv(path, dtype={KEY: str}, encoding="utf-8-sig", skipinitialspace=True)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's errors are ValueErrors
        said = first_line(error)
        raise UserError(
            f"predictions={path}: cannot be read ({said}); give a CSV or Parquet file with a column"
            f" {KEY} and one for each label"
        ) from error
    frame.columns = [str(name).strip() for name in frame.columns]
    if KEY not in frame:
        raise UserError(
            f"predictions={path}: no column '{KEY}'{near_miss(KEY, frame.columns)}; its columns"
            f" (separated by commas): {', '.join(frame.columns)}; {KEY} is the utterance, as"
            " predictions.csv of a run has it"
        )
    if not len(frame):
        raise UserError(f"predictions={path}: no rows")
    return frame


def _label_columns(path: Path, frame: pd.DataFrame, labels: Sequence[str]) -> list[str]:
    """The column of each label, `joy` or `logit.joy`, in the order of `labels`."""
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"predictions={path}: two columns are called '{twice}'")
    prefix = PREFIX if any(f"{PREFIX}{label}" in names for label in labels) else ""
    found = [f"{prefix}{label}" for label in labels]
    unknown = [name for name in names if name not in {KEY, *found} and name not in IGNORED]
    if absent := [label for label, name in zip(labels, found, strict=True) if name not in names]:
        raise UserError(
            f"predictions={path}: no column for {', '.join(absent)}{near_miss(absent[0], unknown)};"
            f" expected one for each label: {', '.join(labels)}; found:"
            f" {', '.join(name for name in names if name != KEY) or 'none'}"
        )
    if unknown:
        raise UserError(
            f"predictions={path}: column '{unknown[0]}' is not a label of the corpus"
            f" ({', '.join(labels)}); leave it out"
        )
    return found


def _check_keys(path: Path, given: pd.Series, keys: Sequence[str]) -> None:
    if given.isna().any():
        raise UserError(
            f"predictions={path}: no {KEY} in {int(given.isna().sum())} of {len(given)} rows, the"
            f" first after row {int(given.isna().argmax())}; expected one in each"
        )
    if given.duplicated().any():
        raise UserError(
            f"predictions={path}: {given[given.duplicated()].iloc[0]} occurs twice; expected one"
            " row for each utterance"
        )
    unknown = given[~given.isin(list(keys))]
    if len(unknown):
        odd = unknown.iloc[0]
        raise UserError(
            f"predictions={path}: {len(unknown)} of {len(given)} keys are not in the"
            f" corpus, such as '{odd}'{near_miss(odd, keys) or f'; a key looks like {keys[0]!r}'}"
        )


def _check_numbers(
    path: Path, frame: pd.DataFrame, columns: Sequence[str], numbers: pd.DataFrame
) -> None:
    """UserError for text among the numbers, for an infinite one, and for a row that lacks some of
    its numbers; a row that lacks all of them is missing."""
    text = numbers.isna() & frame[columns].notna()
    partly = numbers.isna().any(axis=1) & numbers.notna().any(axis=1)
    infinite = np.isinf(numbers)
    for odd, what in (
        (text, "is not a number"),
        (infinite, "is infinite"),
        (numbers.isna() & partly.to_numpy()[:, None], "is empty, while other labels have a value"),
    ):
        if odd.to_numpy().any():
            row, column = np.argwhere(odd.to_numpy())[0]
            raise UserError(
                f"predictions={path}: {columns[column]} of {frame[KEY].iloc[row]} {what}"
                f" ({shown(frame[columns].iloc[row, column])})"
            )


def _check_probabilities(path: Path, keys: pd.Series, numbers: pd.DataFrame) -> None:
    remedy = "if the file holds logits, say so with model.scores=logits"
    negative = (numbers < 0).any(axis=1)
    if negative.any():
        raise UserError(
            f"predictions={path}: {keys[negative].iloc[0]} has a negative probability; {remedy}"
        )
    sums = numbers.sum(axis=1)
    odd = (sums - 1).abs() > SUM_TOLERANCE
    if odd.any():
        raise UserError(
            f"predictions={path}: the probabilities of {keys[odd].iloc[0]} sum to"
            f" {sums[odd].iloc[0]:.4g}, expected 1 ({int(odd.sum())} of {len(odd)} rows); divide"
            f" votes by their number and percentages by 100; {remedy}"
        )

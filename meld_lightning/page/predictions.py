"""Every run's predictions on test as compact data for the page, and the utterances they are about.

Reads logits and, for texts and speakers, the prepared corpus; writes nothing. Used by
page/write.py; read by the page's predictions.js. Probabilities are stored in steps of 1/255,
predicted classes beside them, so that rounding changes no prediction.

Axes: N utterances, K labels.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from meld_lightning.page.study_report import StudyReport
from meld_lightning.page.tables import rounded
from meld_lightning.runs.logits import logits_of
from meld_lightning.study.sources import FinishedRun

if TYPE_CHECKING:
    import pandas as pd

SPLIT = "test"
STEPS = 255


@dataclass(frozen=True)
class UtteranceSet:
    """The utterances that some of the runs score, in the order of the corpus.

    keys: the utterances' keys. units: names of the units; unit: each utterance's place in units.
    true: each utterance's place in labels, as base64 of uint8.
    """

    labels: list[str]
    keys: list[str]
    units: list[str]
    unit: list[int]
    true: str


@dataclass(frozen=True)
class Predictions:
    """One run's predictions. set: the place of its utterance set.

    predicted: places of labels (N,); probabilities: (N, K), 255 is 1; both base64 of uint8.
    absent: places of the utterances that lack all of the run's modalities.
    """

    set: int
    predicted: str
    probabilities: str
    absent: list[int]


def predictions_data(report: StudyReport) -> dict[str, Any]:
    """{split, sets: [UtteranceSet], runs: {hash: Predictions}, corpus: [columns of each set]}."""
    sets: dict[tuple[Any, ...], int] = {}
    found: list[UtteranceSet] = []
    runs: dict[str, Predictions] = {}
    for run in report.row_runs():
        frame, labels = run.logits(SPLIT), run.result.labels
        name = (labels, frozenset(zip(frame["key"], frame["label"], strict=True)))
        if name not in sets:
            sets[name] = len(found)
            found.append(_utterances(frame, labels))
        place = sets[name]
        runs[run.result.hash] = _predictions(run, frame, place, found[place].keys)
    columns = [_corpus_columns(report, one.keys) for one in found]
    return {"split": SPLIT, "sets": found, "runs": runs, "corpus": columns}


def _utterances(frame: pd.DataFrame, labels: Sequence[str]) -> UtteranceSet:
    unit = frame["unit"].astype(str)
    units = list(dict.fromkeys(unit))
    places = {name: place for place, name in enumerate(units)}
    index = {label: place for place, label in enumerate(labels)}
    return UtteranceSet(
        list(labels),
        [str(key) for key in frame["key"]],
        units,
        [places[name] for name in unit],
        packed(frame["label"].map(index).to_numpy()),
    )


def _predictions(
    run: FinishedRun, frame: pd.DataFrame, place: int, keys: Sequence[str]
) -> Predictions:
    frame = frame.set_index("key").loc[list(keys)]
    logits_NK = logits_of(frame, run.result.labels)
    return Predictions(
        place,
        packed(logits_NK.argmax(1)),
        packed(np.rint(softmax(logits_NK) * STEPS)),
        np.flatnonzero(~frame["present"].to_numpy(bool)).tolist(),
    )


def _corpus_columns(report: StudyReport, keys: Sequence[str]) -> dict[str, list[Any]] | None:
    """Text, speaker, dialogue, place in the dialogue and seconds of each utterance; None without
    the corpus, or if it is another one."""
    if report.corpus is None:
        return None
    table = report.corpus.table.set_index("key")
    if not set(keys) <= set(table.index):
        return None
    table = table.loc[list(keys)]
    seconds = table["end_s"] - table["start_s"]
    return {
        "text": _values(table["text"], str),
        "speaker": _values(table["speaker"], str),
        "dialogue": _values(table["dialogue_id"], str),
        "utterance": _values(table["utterance_id"], int),
        "seconds": [rounded(float(value)) for value in seconds],
    }


def _values(column: pd.Series, kind: type) -> list[Any]:
    """The column's values, None where there are none."""
    absent = column.isna()
    return [None if lacks else kind(value) for value, lacks in zip(column, absent, strict=True)]


def softmax(logits_NK: np.ndarray) -> np.ndarray:
    """Probabilities (N, K)."""
    shifted = np.exp(logits_NK - logits_NK.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def packed(values: np.ndarray) -> str:
    """Whole numbers from 0 to 255 as base64."""
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode()

"""The predictions of finished runs on one split, joined by utterance key.

Reads a run's logits, writes nothing. Used by report/, page/ and listing/;
report/statistics.py computes intervals and tests from what is read here. Runs are joined by key,
never by order; runs that score different utterances, or the same ones with different labels, are an
error.

Axes: N utterances, U units (what is left out together and swapped together: dialogues or speakers,
or utterances in a corpus without them), K labels.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meld_lightning.errors import UserError
from meld_lightning.metrics import confusion, from_confusion
from meld_lightning.runs.logits import check_logits, logits_of
from meld_lightning.study.sources import FinishedRun

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Scored:
    """The predictions of one run on one split, in the order of their keys."""

    name: str  # names the run in errors
    labels: tuple[str, ...]
    keys: NDArray[np.object_]  # (N,)
    units: NDArray[np.object_]  # (N,)
    true: Integers  # (N,)
    predicted: Integers  # (N,)
    # (N,); False where every modality of the run is missing and the prediction is the most common
    # label of train, or of val for a fusion
    present: NDArray[np.bool_]
    # the one speaker or dialogue that all utterances belong to; each utterance is then its own unit
    only_unit: str = ""

    def constant(self, label: str) -> Scored:
        """The same utterances, all predicted as `label`."""
        if label not in self.labels:
            raise UserError(
                f"{self.name}: train_majority is '{label}', expected one of its labels"
                f" {list(self.labels)}"
            )
        predicted, present = (
            np.full_like(self.predicted, self.labels.index(label)),
            np.ones_like(self.present),
        )
        return replace(self, name=f"constant {label}", predicted=predicted, present=present)

    def metrics(self) -> dict[str, float]:
        found = from_confusion(confusion(self.true, self.predicted, len(self.labels)))
        return {name: float(value) for name, value in found.items()}


def scored(run: FinishedRun, split: str) -> Scored:
    """Read a run's logits of one split; UserError where `check_logits` finds anything wrong."""
    return scored_frame(run.logits(split), run.result.labels, str(run.folder), split)


def scored_frame(frame: Any, labels: tuple[str, ...], name: str, split: str) -> Scored:
    """Like `scored`, from a frame of logits. If all utterances share one unit (a single speaker),
    each utterance becomes a unit."""
    check_logits(frame, labels, f"{name} ({split})")
    frame = frame.sort_values("key", kind="stable")
    logits, keys = logits_of(frame, labels), _shared(frame["key"])
    place = {label: index for index, label in enumerate(labels)}
    true = frame["label"].map(place).to_numpy(dtype=np.int64)
    present = frame["present"].to_numpy(dtype=bool)
    units = _shared(frame["unit"])
    only = str(units[0]) if len(set(units)) == 1 else ""  # one unit alone would show no variance
    units = keys if only else units
    return Scored(name, labels, keys, units, true, logits.argmax(1), present, only)


def _shared(texts: Any) -> NDArray[np.object_]:
    """The texts, each of them in memory once however many runs name it."""
    return np.array([sys.intern(text) for text in texts], dtype=object)


def check_joined(runs: Sequence[Scored]) -> None:
    """UserError, naming both runs, unless all score the same keys, units and true labels in the
    same label order."""
    first = runs[0]
    for other in runs[1:]:
        both = f"{first.name} and {other.name}"
        if other.labels != first.labels:
            raise UserError(
                f"{both} have not the same labels in the same order: {list(first.labels)},"
                f" {list(other.labels)}"
            )
        if not np.array_equal(other.keys, first.keys):
            odd = sorted(set(first.keys) ^ set(other.keys))
            raise UserError(
                f"{both} score different utterances ({len(odd)} in only one of them, such as"
                f" {odd[0]}): run one again"
            )
        for what, one, two in (
            ("true label", first.true, other.true),
            ("unit", first.units, other.units),
        ):
            if not np.array_equal(one, two):
                key = first.keys[one != two][0]
                raise UserError(
                    f"{both} give {key} a different {what}: they were made from different corpora"
                )


def chosen_rows(run: Scored, chosen_N: NDArray[np.bool_]) -> Scored:
    """The predictions of some of the utterances."""
    names = ("keys", "units", "true", "predicted", "present")
    return replace(run, **{name: getattr(run, name)[chosen_N] for name in names})


def unit_confusions(run: Scored) -> Integers:
    """Confusion counts of each unit, (U, K, K), units in sorted order."""
    units, index = np.unique(run.units.astype(str), return_inverse=True)
    counts = np.zeros((len(units), len(run.labels), len(run.labels)), dtype=np.int64)
    np.add.at(counts, (index, run.true, run.predicted), 1)
    return counts

"""Confidence intervals and paired tests, computed from the logits of finished runs.

Reads a run's logits (through `scored`), writes nothing. Used by report/rows.py and
report/layout.py. Runs are joined by utterance key, never by order; runs that score different
utterances, or the same ones with different labels, are an error.

Axes: N utterances, U units (the resampled items: dialogues, or speakers or utterances in a corpus
without them), S runs, R resamples, K labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meld_lightning.errors import UserError
from meld_lightning.metrics import Floats, confusion, from_confusion
from meld_lightning.runs.logits import logit_columns, logits_of
from meld_lightning.study.sources import FinishedRun

RESAMPLES = 5000
SEED = 20240  # fixed, so that a table rendered twice is the same table
LEVEL = 0.95
BLOCK = 500  # resamples held in memory at once

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


@dataclass(frozen=True)
class Difference:
    """A metric of one row minus that of another: value, 95 % interval and two-sided p."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Comparison:
    """One row tested against the reference row. The two adjusted p-values are Holm's, over both
    tests of all rows."""

    difference: Difference  # in weighted F1, with the bootstrap's p
    bootstrap_holm: float
    mcnemar_p: float  # of accuracy, in the first seed
    mcnemar_holm: float


def scored(run: FinishedRun, split: str) -> Scored:
    """Read a run's logits of one split; UserError for a repeated key, a non-finite logit or an
    unknown label."""
    return scored_frame(run.logits(split), run.result.labels, str(run.folder), split)


def scored_frame(frame: Any, labels: tuple[str, ...], name: str, split: str) -> Scored:
    """Like `scored`, from a frame of logits. If all utterances share one unit (a single speaker),
    each utterance becomes a unit."""
    absent = {"key", "label", "unit", "present", *logit_columns(labels)} - set(frame.columns)
    if absent:
        raise UserError(
            f"{name}: logits of {split} lack the columns {sorted(absent)}; run it again"
        )
    frame = frame.sort_values("key", kind="stable")
    logits = logits_of(frame, labels)
    keys = frame["key"].to_numpy(dtype=object)
    repeated = keys[1:][keys[1:] == keys[:-1]]
    if len(repeated):
        raise UserError(f"{name}: logits of {split} hold {repeated[0]} twice; run it again")
    if not np.isfinite(logits).all():
        raise UserError(
            f"{name}: logits of {split} are not finite at {keys[~np.isfinite(logits).all(1)][0]};"
            " run it again"
        )
    unknown = sorted(set(frame["label"]) - set(labels))
    if unknown:
        raise UserError(
            f"{name}: logits of {split} hold the label '{unknown[0]}', expected one of"
            f" {list(labels)}"
        )
    place = {label: index for index, label in enumerate(labels)}
    true = frame["label"].map(place).to_numpy(dtype=np.int64)
    present = frame["present"].to_numpy(dtype=bool)
    units = frame["unit"].to_numpy(dtype=object)
    single = len(set(units)) == 1  # resampling a single unit would show no spread at all
    return Scored(name, labels, keys, keys if single else units, true, logits.argmax(1), present)


def check_joined(runs: Sequence[Scored]) -> None:
    """UserError, naming both runs, unless all score the same keys, units and true labels in the
    same label order."""
    first = runs[0]
    for other in runs[1:]:
        both = f"{first.name} and {other.name}"
        if other.labels != first.labels:
            raise UserError(
                f"{both} order their labels differently: {list(first.labels)}, {list(other.labels)}"
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


def unit_confusions(run: Scored) -> Integers:
    """Confusion counts of each unit, (U, K, K), units in sorted order."""
    units, index = np.unique(run.units.astype(str), return_inverse=True)
    counts = np.zeros((len(units), len(run.labels), len(run.labels)), dtype=np.int64)
    np.add.at(counts, (index, run.true, run.predicted), 1)
    return counts


def resample_counts(units: int) -> Iterator[Integers]:
    """How often each unit is drawn in each of RESAMPLES resamples: consecutive blocks of rows of an
    (R, U) array."""
    generator = np.random.default_rng(SEED)
    for start in range(0, RESAMPLES, BLOCK):
        yield generator.multinomial(
            units, np.full(units, 1 / units), size=min(BLOCK, RESAMPLES - start)
        )


def resampled_metrics(runs: Sequence[Scored]) -> dict[str, Floats]:
    """Every metric of every run in every resample, (R, S); the units drawn are the same for all
    runs."""
    check_joined(runs)
    counts = np.stack([unit_confusions(run) for run in runs], axis=1)  # (U, S, K, K)
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    blocks = [
        from_confusion((drawn.astype(np.float64) @ flat).reshape(-1, *counts.shape[1:]))
        for drawn in resample_counts(len(counts))
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def interval(samples: Floats) -> tuple[float, float]:
    """The percentile 95 % interval of a resampled metric (R,).

    Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
    """
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def bootstrap(runs: Sequence[Scored]) -> dict[str, tuple[float, float]]:
    """95 % interval of each metric's mean over `runs` (the seeds of one row).

    Units are drawn with replacement, the same ones for every seed of a resample; the metrics of the
    seeds are then averaged.
    """
    return {name: interval(drawn.mean(1)) for name, drawn in resampled_metrics(runs).items()}


def paired_bootstrap(row: Sequence[Scored], other: Sequence[Scored], metric: str) -> Difference:
    """The difference between two rows in a metric's mean over seeds, on the same resampled units.

    Two-sided p: twice the smaller share of resamples in which the difference is at most, or at
    least, zero; the observed data count as one resample, so that p is never 0 (Davison and Hinkley,
    Bootstrap Methods, sec. 4.2).
    """
    drawn = resampled_metrics([*row, *other])[metric]
    differences = drawn[:, : len(row)].mean(1) - drawn[:, len(row) :].mean(1)
    tail = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    value = float(
        np.mean([run.metrics()[metric] for run in row])
        - np.mean([run.metrics()[metric] for run in other])
    )
    return Difference(
        value, *interval(differences), min(1.0, 2 * (tail + 1) / (len(differences) + 1))
    )


def mcnemar(run: Scored, other: Scored) -> float:
    """McNemar's exact two-sided p-value for two runs being correct equally often; treats utterances
    as independent."""
    from statsmodels.stats.contingency_tables import mcnemar as exact_mcnemar

    check_joined([run, other])
    correct, other_correct = run.predicted == run.true, other.predicted == other.true
    return float(exact_mcnemar(confusion(correct, other_correct, 2), exact=True).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of a family of p-values, in the order given."""
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]] if p_values else []


def comparisons(rows: Sequence[Sequence[Scored]], reference: Sequence[Scored]) -> list[Comparison]:
    """Each row (its seeds) against the reference: weighted F1 by paired bootstrap, accuracy of the
    first seed by McNemar's test, all p-values adjusted together."""
    differences = [paired_bootstrap(row, reference, "weighted_f1") for row in rows]
    exact = [mcnemar(row[0], reference[0]) for row in rows]
    adjusted = holm([one.p for one in differences] + exact)
    return [
        Comparison(*values)
        for values in zip(
            differences, adjusted[: len(rows)], exact, adjusted[len(rows) :], strict=True
        )
    ]

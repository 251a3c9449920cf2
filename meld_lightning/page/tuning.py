"""The settings in which a study's runs differ, against their score on val.

Reads the runs' configs and results; writes nothing. Used by page/figures.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meld_lightning.config.words import setting
from meld_lightning.page.rows import DIGITS, FigureRow
from meld_lightning.runs.evidence import settings
from meld_lightning.runs.settings import leaves

NOT_TUNED = ("seed", "corpus", "numerics", "target")
SCORE = "weighted_f1"


@dataclass(frozen=True)
class Axis:
    """A setting. values: those that occur, numbers in their order."""

    key: str
    values: list[str]


@dataclass(frozen=True)
class TunedRun:
    """values: its place on each axis, None where the run lacks the setting."""

    run: str
    row: int
    values: list[int | None]
    score: float


@dataclass(frozen=True)
class Tuning:
    """The trained runs of one modality."""

    modality: str
    axes: list[Axis]
    runs: list[TunedRun]


def tunings(rows: Sequence[FigureRow]) -> list[Tuning]:
    """One for each modality whose rows differ in any setting."""
    by_modality: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if row.modality != "fusion":
            by_modality.setdefault(row.modality, []).append(place)
    found = [_tuning(name, rows, places) for name, places in by_modality.items()]
    return [one for one in found if one.axes]


def _tuning(modality: str, rows: Sequence[FigureRow], places: Sequence[int]) -> Tuning:
    # the runs of a row differ in seed and fold alone
    of_row = {place: _settings(rows[place]) for place in places}
    keys = list(dict.fromkeys(key for values in of_row.values() for key in values))
    axes = []
    for key in keys:
        distinct = {values[key] for values in of_row.values() if key in values}
        if len(distinct) > 1:
            axes.append(Axis(key, sorted(distinct, key=_rank)))
    runs = [
        TunedRun(
            run.result.hash,
            place,
            [_place(axis, of_row[place].get(axis.key)) for axis in axes],
            round(float(run.result.metrics["val"][SCORE]), DIGITS),
        )
        for place in places
        for run in rows[place].runs
    ]
    return Tuning(modality, axes, runs)


def _settings(row: FigureRow) -> dict[str, str]:
    found = dict(leaves(settings(row.runs[0].config)))
    found["checkpoint"] = row.runs[0].result.checkpoint
    return {
        key: setting(value)
        for key, value in found.items()
        if key.split(".")[0] not in NOT_TUNED and not key.endswith("_target_")
    }


def _place(axis: Axis, value: str | None) -> int | None:
    return None if value is None else axis.values.index(value)


def _rank(value: str) -> tuple[int, tuple[float, ...], str]:
    """By the values of numbers and lists of numbers, then words; a setting not set is last."""
    items = value.strip("[]").split(",")
    try:
        return (0, tuple(float(item) for item in items), value)
    except ValueError:
        return (2 if value == "null" else 1, (), value)

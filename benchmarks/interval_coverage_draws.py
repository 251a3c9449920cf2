"""Simulated results of two recipes for interval_coverage.py: their truth, and confusion counts
drawn from it.

Utterances lie in units of unequal size, with MELD's shares of labels. Each has a difficulty that is
partly common to all rows and seeds, partly to the seeds of a row, and partly the run's own; a run
is correct where the skill for the true label is above it. A seed shifts the skill for all labels.
Reads and writes no file.

Axes: N utterances, U units, S seeds, K labels.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from meld_lightning.metrics import from_confusion
from meld_lightning.report.comparisons import TESTED
from meld_lightning.report.statistics import Jackknife, jackknife_counts

Array = NDArray[np.float64]

SHARES = np.array([0.481, 0.154, 0.108, 0.132, 0.080, 0.026, 0.019])  # of MELD's test labels
RECALLS = np.array([0.78, 0.55, 0.48, 0.42, 0.28, 0.15, 0.12])  # weighted F1 .579
CLASSES = len(SHARES)
# Shares of the variance of an utterance's difficulty: its unit, the unit for this row, the
# utterance, the utterance for this row, the unit for this seed, the utterance for this seed.
DIFFICULTY = np.sqrt([0.06, 0.02, 0.45, 0.20, 0.01, 0.26])
CONCENTRATION = 12.0  # of a unit's label shares around SHARES (Dirichlet)
SIZES = {5: 60, 12: 60, 20: 60, 72: 10, 280: 10}  # mean utterances: speakers, then dialogues
EFFECTS = {5: 0.15, 12: 0.10, 20: 0.08, 72: 0.07, 280: 0.04}  # weighted F1, for power


@dataclass(frozen=True)
class Cell:
    """One setting of the simulation. seed_sd: of weighted F1, over training again with another
    seed; unequal: the second row has none."""

    units: int
    seeds: int
    seed_sd: float
    unequal: bool = False


@dataclass(frozen=True)
class Pair:
    """Confusion counts (U, S, K, K) of two rows on the same utterances."""

    first: Array
    second: Array

    @cached_property
    def jackknives(self) -> tuple[dict[str, Jackknife], dict[str, Jackknife]]:
        return jackknife_counts(self.first), jackknife_counts(self.second)


@dataclass(frozen=True)
class Recipe:
    """A row's truth. shift: of every class's skill; seed_scale: SD of that over seeds."""

    shift: float
    seed_scale: float

    def truth(self) -> dict[str, float]:
        """Each tested metric of infinitely many utterances, averaged over seeds."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(41)
        found = _population(self.shift + self.seed_scale * nodes)
        return {name: float(weights @ found[name] / weights.sum()) for name in TESTED}

    def seed_sd(self) -> float:
        """SD of weighted F1 over seeds."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(41)
        values = _population(self.shift + self.seed_scale * nodes)["weighted_f1"]
        mean = weights @ values / weights.sum()
        return float(np.sqrt(weights @ (values - mean) ** 2 / weights.sum()))


def _population(shifts: Array) -> dict[str, Array]:
    """The metrics of infinitely many utterances (...,) for skills shifted by (...,)."""
    from scipy.special import ndtr

    correct = ndtr(_skills() + shifts[..., None])
    wrong = (SHARES * (1 - correct))[..., None] * _confusions()
    return from_confusion(wrong + (SHARES * correct)[..., None] * np.eye(CLASSES))


@cache
def _skills() -> Array:
    from scipy.special import ndtri

    return np.asarray(ndtri(RECALLS))


@cache
def _confusions() -> Array:
    """Shares of the wrong labels by true label (K, K): the common ones, neutral above all."""
    shares = np.tile(SHARES * np.array([1.6, 1, 1, 1, 0.8, 0.5, 0.5]), (CLASSES, 1))
    np.fill_diagonal(shares, 0)
    return np.asarray(shares / shares.sum(1, keepdims=True))


def recipes(cell: Cell, effect: float) -> tuple[Recipe, Recipe]:
    """Two rows whose weighted F1 differs by `effect`."""
    from scipy.optimize import brentq

    def scale(sd: float) -> float:
        if sd == 0:
            return 0.0
        return float(brentq(lambda one: Recipe(0.0, one).seed_sd() - sd, 1e-6, 2))

    first = Recipe(0.0, scale(cell.seed_sd))
    second = 0.0 if cell.unequal else first.seed_scale
    target = first.truth()["weighted_f1"] - effect
    shift = brentq(lambda one: Recipe(one, second).truth()["weighted_f1"] - target, -1.5, 1.5)
    return first, Recipe(float(shift), second)


def draw(rng: np.random.Generator, cell: Cell, rows: tuple[Recipe, Recipe]) -> Pair:
    """Confusion counts (U, S, K, K) of the two rows' seeds on the same utterances."""
    sizes = np.round(SIZES[cell.units] * rng.gamma(2.5, 1 / 2.5, cell.units)).astype(int)
    unit = np.repeat(np.arange(cell.units), np.maximum(1, sizes))
    n, skills = len(unit), _skills()
    true = _chosen(rng, rng.dirichlet(SHARES * CONCENTRATION, cell.units).cumsum(1)[unit])
    mistakes = _confusions().cumsum(1)[true]
    usual_mistake = _chosen(rng, mistakes)

    def noise(of_unit: float, of_utterance: float) -> Array:
        drawn = of_unit * rng.standard_normal(cell.units)[unit]
        return np.asarray(drawn + of_utterance * rng.standard_normal(n))

    difficulty = noise(*DIFFICULTY[[0, 2]])
    found = []
    for row in rows:
        for_row = difficulty + noise(*DIFFICULTY[[1, 3]])
        counts = np.zeros((cell.units, cell.seeds, CLASSES, CLASSES))
        for seed in range(cell.seeds):
            skill = skills[true] + row.shift + row.seed_scale * rng.standard_normal()
            usual = rng.random(n) < 0.6
            mistake = np.where(usual, usual_mistake, _chosen(rng, mistakes))
            correct = for_row + noise(*DIFFICULTY[[4, 5]]) < skill
            predicted = np.where(correct, true, mistake)
            place = (unit * CLASSES + true) * CLASSES + predicted
            counted = np.bincount(place, minlength=cell.units * CLASSES**2)
            counts[:, seed] = counted.reshape(cell.units, CLASSES, CLASSES)
        found.append(counts)
    return Pair(*found)


def _chosen(rng: np.random.Generator, cumulated: Array) -> NDArray[np.int64]:
    """One label for each row of cumulated shares (N, K)."""
    drawn = rng.random(len(cumulated))
    label = np.zeros(len(drawn), dtype=np.int64)
    for column in range(CLASSES - 1):
        label += drawn > cumulated[:, column]
    return label

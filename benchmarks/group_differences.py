"""How often an audit finds a difference between groups of utterances where there is none.

    python benchmarks/group_differences.py --replicates 1000

Draws the predictions of one model on units of unequal size, with MELD's shares of labels and the
same recalls in both groups, and hands their confusion counts to report/audit.py's `gap`. Groups
share units, as lengths of utterances do in dialogues, or every unit is in one group alone, as
speakers by sex are. Prints the share of replicates with p <= .05 (type I, promised .05) of those
with enough units for a p. Reads and writes no file. The last line printed is one JSON object.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from benchmarks.interval_coverage_draws import CLASSES, CONCENTRATION, RECALLS, SHARES
from meld_lightning.report.audit import gap

METRIC = "weighted_f1"
UNIT_SD, SEED_SD = 0.35, 0.1  # of a unit's and a seed's skill; that of an utterance is 1
RUN_SD = 0.7  # of what differs from seed to seed in one utterance


@dataclass(frozen=True)
class Cell:
    """One setting. utterances: mean of a unit; share: of the smaller group; shared: units have
    utterances of both groups."""

    units: int
    utterances: int
    shared: bool
    share: float
    seeds: int


CELLS = [
    Cell(units, utterances, shared, share, seeds)
    for units, utterances in ((12, 20), (20, 20), (72, 10), (280, 10))
    for shared in (True, False)
    for share, seeds in ((0.5, 1), (0.15, 1), (0.15, 3))
]


def draw(cell: Cell, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Confusion counts (U, S, K, K) in the smaller group and in the other one."""
    sizes = np.maximum(1, rng.poisson(cell.utterances, cell.units))
    unit_N = np.repeat(np.arange(cell.units), sizes)
    shares = rng.dirichlet(CONCENTRATION * SHARES, cell.units)
    true_N = np.concatenate(
        [rng.choice(CLASSES, size, p=one) for size, one in zip(sizes, shares, strict=True)]
    )
    size = len(unit_N) if cell.shared else cell.units
    smaller = rng.random(size) < cell.share
    smaller_N = smaller if cell.shared else smaller[unit_N]
    skill_N = ndtri(RECALLS)[true_N] * np.sqrt(1 + UNIT_SD**2 + RUN_SD**2)
    skill_N += rng.normal(0, UNIT_SD, cell.units)[unit_N] + rng.normal(0, 1, len(unit_N))
    counts = np.zeros((2, cell.units, cell.seeds, CLASSES, CLASSES), dtype=np.int64)
    for seed in range(cell.seeds):
        moved_N = rng.normal(0, SEED_SD) + rng.normal(0, RUN_SD, len(unit_N))
        guess_N = rng.choice(CLASSES, len(unit_N), p=SHARES)
        predicted_N = np.where(skill_N + moved_N > 0, true_N, guess_N)
        one: NDArray[np.int64] = counts[:, :, seed]  # a view
        np.add.at(one, (1 - smaller_N.astype(int), unit_N, true_N, predicted_N), 1)
    return counts[0], counts[1]


def type_1(cell: Cell, replicates: int) -> tuple[float, int]:
    """The share of replicates with p <= .05, and the number that had a p."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(replicates):
        inside, outside = draw(cell, rng)
        if inside.any() and outside.any():
            found.append(gap(inside, outside, METRIC).p)
    p_values = np.array([one for one in found if one is not None])
    return float((p_values <= 0.05).mean()) if len(p_values) else float("nan"), len(p_values)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=1000)
    replicates = parser.parse_args(arguments).replicates
    lines = []
    print("| units | units have | smaller group | seeds | type I | of replicates |")
    print("|---:|---|---:|---:|---:|---:|")
    for cell in CELLS:
        rate, count = type_1(cell, replicates)
        lines.append({**asdict(cell), "type_1": rate, "replicates": count})
        kind = "both groups" if cell.shared else "one group"
        print(
            f"| {cell.units} | {kind} | {cell.share} | {cell.seeds} | {rate:.3f} | {count} |",
            flush=True,
        )
    print(json.dumps({"metric": METRIC, "cells": lines}))


if __name__ == "__main__":
    main()

"""How often the report's intervals and tests err, in simulated results of two recipes.

    python benchmarks/interval_coverage.py --replicates 1000

Draws the predictions of two rows with several seeds on units of unequal size, with MELD's shares of
labels, and hands their confusion counts to the functions that the tables call: `estimate`,
`difference` and, for one seed, `permutation`. Beside them stand the usual ways:

    ours          report/statistics.py and report/comparisons.py
    percentile    a percentile bootstrap over units with the seeds fixed, p counted on either side
    hierarchical  the same with seeds drawn, too; several seeds only
    satterthwaite one t quantile for units and seeds together
    banerjee      a t quantile for units and one for seeds; ours is the mean of both half-widths

Prints for each number of units and seeds and each standard deviation (SD) over seeds: type I
(the share of equal recipes found different, promised .05), coverage of a row's interval and of the
difference's (promised .95), and power (the share of really different recipes found different).
Where there is one seed the SD is 0, because nothing there covers seeds; `unequal` gives one row of
the two no seed variance at all.

Goals: type I in .03-.07 and coverage in .93-.97 wherever a table prints no caution (20 units or
more, several seeds or a seed SD of 0). Exits with 0 whatever the figures are. Reads and writes no
file. The last line printed is one JSON object.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass

import numpy as np

from benchmarks.interval_coverage_draws import EFFECTS, SIZES, Cell, draw, recipes
from benchmarks.interval_coverage_ways import BOOTSTRAPS, WAYS, Verdict
from meld_lightning.report.comparisons import CAUTION_UNITS, TESTED

COLUMNS = ("type I", "power", "coverage", "of difference", "simultaneous")
GOALS = {"type_1": (0.03, 0.07), "coverage": (0.93, 0.97)}


@dataclass(frozen=True)
class Rates:
    """What one way gives in a cell, by metric: the share of replicates. type_1 and power are None
    where no p is printed."""

    type_1: float | None
    power: float | None
    coverage: float  # of a row's interval
    coverage_of_difference: float
    simultaneous: float  # coverage of the difference's interval at the level of FAMILY tests


def simulate(
    cell: Cell, replicates: int, bootstrapped: int, ways: Sequence[str] = tuple(WAYS)
) -> dict[str, dict[str, Rates]]:
    """The rates of each way and metric. bootstrapped: replicates of the bootstraps."""
    equal = recipes(cell, 0.0)
    different = recipes(cell, EFFECTS[cell.units])
    truths = [one.truth() for one in equal], [one.truth() for one in different]
    rng = np.random.default_rng([cell.units, cell.seeds, round(1000 * cell.seed_sd), cell.unequal])
    used = [way for way in ways if cell.seeds > 1 or way != "hierarchical"]
    found: dict[str, list[tuple[dict[str, Verdict], dict[str, Verdict]]]] = {
        way: [] for way in used
    }
    for replicate in range(replicates):
        drawn = draw(rng, cell, equal), draw(rng, cell, different)
        for way in used:
            if way not in BOOTSTRAPS or replicate < bootstrapped:
                found[way].append((WAYS[way](drawn[0]), WAYS[way](drawn[1])))
    return {
        way: {name: _rates([(a[name], b[name]) for a, b in pairs], truths, name) for name in TESTED}
        for way, pairs in found.items()
        if pairs
    }


def _rates(
    pairs: Sequence[tuple[Verdict, Verdict]],
    truths: tuple[list[dict[str, float]], list[dict[str, float]]],
    metric: str,
) -> Rates:
    """pairs: of equal and of different rows. truths: of the two rows, in each of these cases."""
    value = truths[0][0][metric]
    apart = truths[1][0][metric] - truths[1][1][metric]
    tested = pairs[0][0].significant is not None
    return Rates(
        _mean([bool(equal.significant) for equal, _ in pairs]) if tested else None,
        _mean([bool(different.significant) for _, different in pairs]) if tested else None,
        _mean([_holds(equal.row, value) for equal, _ in pairs]),
        _mean([_holds(different.difference, apart) for _, different in pairs]),
        _mean([_holds(different.simultaneous, apart) for _, different in pairs]),
    )


def _holds(interval: tuple[float, float], value: float) -> bool:
    return interval[0] <= value <= interval[1]


def _mean(values: Sequence[bool]) -> float:
    return round(float(np.mean(values)), 4)


def cells(units: Sequence[int], seeds: Sequence[int], seed_sds: Sequence[float]) -> Iterator[Cell]:
    """Every setting: one seed without seed variance, several with every SD, and for the largest SD
    also rows of unequal seed variance."""
    for count in units:
        for number in seeds:
            for sd in seed_sds if number > 1 else (0.0,):
                yield Cell(count, number, sd)
            if number > 1 and max(seed_sds) > 0:
                yield Cell(count, number, max(seed_sds), unequal=True)


def outside(cell: Cell, rates: Mapping[str, Rates]) -> list[str]:
    """Which goals ours misses in a cell that a table prints without caution."""
    if cell.units < CAUTION_UNITS:
        return []
    missed = []
    for metric, one in rates.items():
        for goal, value in (
            ("type_1", one.type_1),
            ("coverage", one.coverage),
            ("coverage", one.coverage_of_difference),
        ):
            low, high = GOALS[goal]
            if value is not None and not low <= value <= high:
                missed.append(f"{metric} {goal} {value:.3f}")
    return missed


def _line(cell: Cell, way: str, rates: Mapping[str, Rates]) -> str:
    """One line of the table, as Markdown."""
    sd = f"{cell.seed_sd:.3f}" + (" / 0" if cell.unequal else "")
    texts = [str(cell.units), str(cell.seeds), sd, way]
    for metric in TESTED:
        texts += ["" if value is None else f"{value:.3f}" for value in astuple(rates[metric])]
    return f"| {' | '.join(texts)} |"


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--seed-sds", type=float, nargs="+", default=[0.0, 0.01, 0.02, 0.03])
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--bootstrapped", type=int, default=200, help="replicates of bootstraps")
    args = parser.parse_args()
    started, records, missed = time.process_time(), [], []
    columns = [f"{metric} {name}" for metric in TESTED for name in COLUMNS]
    print(f"| units | seeds | seed SD | way | {' | '.join(columns)} |")
    print(f"|{'---:|' * (4 + len(columns))}")
    for cell in cells(args.units, args.seeds, args.seed_sds):
        found = simulate(cell, args.replicates, args.bootstrapped)
        for way, rates in found.items():
            print(_line(cell, way, rates), flush=True)
            by_metric = {metric: asdict(one) for metric, one in rates.items()}
            records.append({**asdict(cell), "way": way, **by_metric})
        missed += [f"{cell}: {text}" for text in outside(cell, found["ours"])]
    for text in missed:
        print(f"outside the goal: {text}")
    print(
        json.dumps(
            {
                "replicates": args.replicates,
                "bootstrapped": args.bootstrapped,
                "cpu_s": round(time.process_time() - started, 1),
                "goals": GOALS,
                "outside": missed,
                "cells": records,
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

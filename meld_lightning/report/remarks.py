"""Remarks below a table: how to read its figures, how they compare with the paper's, and how its
runs differ.

Reads rows, writes nothing. Used by report/layout.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from meld_lightning.report.comparisons import CAUTION_UNITS, TEST_UNITS
from meld_lightning.report.folds import unpooled
from meld_lightning.report.rows import Row
from meld_lightning.report.scored import Scored
from meld_lightning.report.statistics import RESAMPLES, all_swaps
from meld_lightning.runs.provenance import differences
from meld_lightning.study.spec import Table, has_interval

MARK = " *"  # after a figure whose seeds differ by more than SPREAD
SPREAD = 0.02
ONE_SEED = (
    "There is one seed, so intervals and p-values do not cover the variance of seeds: another draw"
    " of votes or of first weights may change a figure by more than they say."
)
NO_WEIGHTS = "no pretrained weights"  # as training writes it into result.json


def reading_remark(table: Table, rows: Sequence[Row], seeds: Sequence[int]) -> list[str]:
    """How to read the table's figures, as one paragraph; none while no row is complete."""
    complete = next((row for row in rows if row.scored), None)
    if complete is None:
        return []
    labels = len(complete.scored[0].labels)
    sentences = [
        f"Pretrained weights: {_weights(rows)}.",
        f"n is the number of {table.split} utterances scored.",
        f"Brackets hold 95 % intervals over {_units(complete.scored[0], table.split)}.",
        *_on_seeds(seeds),
        *_on_few_units(complete.scored[0], table.split),
        f"Guessing uniformly among the {labels} labels has accuracy {1 / labels:.4f};"
        " the constant row predicts the most common train label.",
        *_on_folds(table),
        *_on_missing_modalities(rows),
        *_on_val(table),
        *_on_selection(table),
    ]
    return [" ".join(sentences), *_on_spread(table, rows)]


def _units(scored: Scored, split: str) -> str:
    """The number and kind of the units that intervals and tests draw on, such as "12 speakers"."""
    kinds = {
        unit_kind(str(unit), str(key), split)
        for unit, key in zip(scored.units, scored.keys, strict=True)
    }
    number = len(set(scored.units))
    return f"{number} {kinds.pop()}" if len(kinds) == 1 else f"{number} units"


def unit_kind(unit: str, key: str, split: str) -> str:
    """The kind of a unit, by its name: the corpus readers name dialogues `split/dialogue`."""
    if unit == key:
        return "utterances"
    return "dialogues" if unit.startswith(f"{split}/") else "speakers"


def _on_folds(table: Table) -> list[str]:
    if not table.folds:
        return []
    return [
        f"There is one run for each of {len(table.folds)} folds, and each utterance is predicted by"
        " the run that held it out. A setting chosen on the val splits of all folds has seen test"
        " utterances of other folds; one chosen inside a fold has not."
    ]


def _on_missing_modalities(rows: Sequence[Row]) -> list[str]:
    absent = {row.label: int((~row.scored[0].present).sum()) for row in rows if row.scored}
    counts = ", ".join(f"{count} ({label})" for label, count in absent.items() if count)
    if not counts:
        return []
    return [
        "Utterances without any of the row's modalities (or with logits that are not finite) are"
        " predicted as the most common label of train, by a fitted fusion as that of val, and stay"
        f" in n: {counts}."
    ]


def _on_val(table: Table) -> list[str]:
    losses = any(not has_interval(metric) for metric in table.metrics)
    sentences = ["Losses have no interval."] if losses else []
    if table.split == "val":
        sentences.append(
            "Each run's epoch was also chosen on val, which makes these figures optimistic."
        )
    return sentences


def _on_seeds(seeds: Sequence[int]) -> list[str]:
    if len(seeds) < 2:
        return [ONE_SEED]
    return [
        f"Our figures are means ± standard deviations over {len(seeds)} seeds; the interval is that"
        " of the mean and carries the variance of units and of seeds."
    ]


def _on_few_units(scored: Scored, split: str) -> list[str]:
    units, sentences = len(set(scored.units)), []
    if scored.only_unit:
        sentences.append(
            f"Caution: all utterances belong to {scored.only_unit} and are taken as independent, so"
            " nothing here says how other speakers or dialogues would do."
        )
    if units < CAUTION_UNITS:
        sentences.append(
            f"Caution: with only {_units(scored, split)}, intervals are approximate and may be too"
            " narrow" + (", and p-values are approximate." if units >= TEST_UNITS else ".")
        )
    return sentences


def seeds_differ(row: Row, metric: str) -> bool:
    """Whether the seeds' figures of a metric computed from logits are more than SPREAD apart."""
    if not has_interval(metric) or metric not in row.mean or len(row.by_seed) < 2:
        return False
    values = [one[metric].value for one in row.by_seed]
    return max(values) - min(values) > SPREAD


def _on_spread(table: Table, rows: Sequence[Row]) -> list[str]:
    """Every seed's figure, for the rows whose seeds differ."""
    scale, digits = (100, 2) if table.percent else (1, 4)
    found = []
    for row in rows:
        for metric, header in table.metrics.items():
            if seeds_differ(row, metric):
                each = ", ".join(
                    f"{run.result.seed}: {one[metric].value * scale:.{digits}f}"
                    for run, one in zip(row.runs, row.by_seed, strict=True)
                )
                found.append(f"{row.label}, {header} (seed {each})")
    if not found:
        return []
    limit = f"{SPREAD * scale:g}"
    return [
        f"Seeds of a figure with {MARK.strip()} differ by more than {limit}: {'; '.join(found)}."
    ]


def _on_selection(table: Table) -> list[str]:
    if table.select is None:
        return []
    best = "highest" if table.select.best == "max" else "lowest"
    return [
        f"Our row is the one with the {best} {table.select.metric}; test played no part in the"
        " choice. Published results come without predictions, so they allow no paired test."
    ]


def tests_remark(table: Table, reference: Row) -> list[str]:
    """How to read the grids of tests, as one paragraph."""
    units, seeds = len(set(reference.scored[0].units)), len(reference.scored)
    sentences = []
    if units < TEST_UNITS:
        sentences.append(
            f"{units} units are too few for a test, so no p-value is printed (at least"
            f" {TEST_UNITS} are needed)."
        )
    elif seeds > 1:
        sentences.append(
            "All tests are two-sided and compare means over seeds. They agree with the intervals: p"
            " is below 0.05 exactly if the 95 % interval of the difference excludes zero."
        )
    else:
        subsets = "every subset" if all_swaps(units, RESAMPLES) else f"{RESAMPLES} random subsets"
        sentences.append(
            "All tests are two-sided permutation tests: the predictions of the two rows are swapped"
            f" in {subsets} of the units, and p is the share of these swaps with a difference at"
            " least as large."
        )
    if units >= TEST_UNITS:
        sentences.append("Holm p is adjusted for all tests of this table, both metrics together.")
    if units > 1:
        sentences.append(
            "The simultaneous intervals (Bonferroni) hold for all differences of this table at once"
            " with 95 % confidence."
        )
    if table.split == "val" and table.compare:
        sentences.append(
            "The reference row was also chosen on val, which makes these comparisons optimistic."
        )
    return [" ".join(sentences)]


def provenance_remark(rows: Sequence[Row]) -> list[str]:
    """How the table's runs differ apart from their recipes: in code, versions, device or gradient
    accumulation; none if they do not."""
    found = differences([part.result for row in rows for run in row.runs for part in unpooled(run)])
    return (
        [f"Not all runs of this table were made in the same way: {'; '.join(found)}."]
        if found
        else []
    )


def verdicts(table: Table, rows: Sequence[Row]) -> list[str]:
    """One line per row: how our figures compare with the printed ones, judged by our intervals
    alone."""
    lines = []
    for row in rows:
        found = []
        for metric, printed in table.paper.get(row.key, {}).items():
            ours = row.mean.get(metric)
            if ours is None or ours.low is None or ours.high is None:
                continue
            paper = float(printed) / (100 if table.percent else 1)
            where = "above" if ours.low > paper else "below" if ours.high < paper else "within"
            found.append(f"{table.metrics[metric]} {where}")
        if found:
            lines.append(f"{row.label}: {', '.join(found)}")
    return lines


def _weights(rows: Sequence[Row]) -> str:
    """The checkpoints behind the rows, and which rows have none."""
    by_row = {
        row.label: {name for run in row.runs for name in run.result.checkpoint.split(" + ")}
        - {NO_WEIGHTS}
        for row in rows
        if row.runs
    }
    names = sorted(set().union(*by_row.values()))
    without = [label for label, weights in by_row.items() if not weights]
    if not names:
        return "none"
    return ", ".join(names) + (f" ({', '.join(without)}: none)" if without else "")

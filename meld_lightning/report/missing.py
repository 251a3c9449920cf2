"""Scores fitted fusions again while modalities of test are missing at random, and on each subset of
the modalities.

Reads the runs of a table's fusions and of their sources; writes nothing. Used by report/render.py
for tables of kind `missing`; report/missing_figure.py draws the curves. The fusions are not fitted
again.

Axes: M modalities, N utterances, C classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from meld_lightning.fusion.joined import Joined, JoinedRuns, LogitsBatch
from meld_lightning.fusion.method import Fusion
from meld_lightning.fusion.state import load_fusion
from meld_lightning.report.folds import unpooled
from meld_lightning.report.layout import estimate_text
from meld_lightning.report.page import Grid
from meld_lightning.report.rows import Estimate, Row, Runs
from meld_lightning.report.scored import Scored, scored_frame
from meld_lightning.report.statistics import estimate, jackknife
from meld_lightning.runs.logits import logit_columns
from meld_lightning.storage.fingerprint import bytes_digest
from meld_lightning.study.sources import FinishedRun, of_fold, source_runs
from meld_lightning.study.spec import BASELINE, Table

SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SEED = 20240  # fixed, so that a table rendered twice is the same table
DRAWN = 13  # hexadecimal digits of a draw: as many bits as a float's fraction holds
COLUMNS = ("row", "missing", "present", "metric", "value", "low", "high", "n")

Keep = Callable[[Joined], np.ndarray]  # which modalities of which utterances stay (M, N)


@dataclass(frozen=True)
class Robustness:
    """A fusion's metric at each share of SHARES, and for each subset of its modalities."""

    label: str
    n: int
    by_share: tuple[Estimate, ...]
    by_subset: dict[str, Estimate]


@dataclass(frozen=True)
class _Fitted:
    """A fitted fusion and the utterances of test that it scores."""

    fusion: Fusion
    test: Joined


def robustness(
    table: Table, tables: Mapping[str, Table], rows: Sequence[Row], runs: Runs, seeds: Sequence[int]
) -> list[Robustness]:
    """Each complete row of a table of fusions, in the table's first metric; the constant baseline
    last."""
    metric = next(iter(table.metrics))
    parts = {
        row: [part for run in of_row for part in unpooled(run)] for row, of_row in runs.items()
    }
    found = []
    for row in rows:
        if row.key == BASELINE:
            constant = row.mean[metric]
            found.append(Robustness(row.label, row.n or 0, (constant,) * len(SHARES), {}))
        elif row.scored:
            fitted = [
                [_fitted(part, table, tables, parts, seeds) for part in unpooled(run)]
                for run in row.runs
            ]
            found.append(_of_row(row, fitted, metric.split("/")[1]))
    return found


def _fitted(
    run: FinishedRun,
    table: Table,
    tables: Mapping[str, Table],
    runs: Runs,
    seeds: Sequence[int],
) -> _Fitted:
    fusion = load_fusion(run.folder)
    fold = cast(int, run.result.fold) if table.folds else None
    sources = {
        name: source_runs(table.sources[name], tables, of_fold(runs, fold), seeds)[run.result.seed]
        for name in fusion.modalities
    }
    joined = JoinedRuns(cast(Any, sources), fusion.reads_embeddings)
    return _Fitted(fusion, joined.split("test"))


def _of_row(row: Row, fitted: Sequence[Sequence[_Fitted]], metric: str) -> Robustness:
    """fitted: the fusions of each seed, one for each fold."""

    def score(keep: Keep) -> Estimate:
        scored = [_scored(of_seed, keep, row.label) for of_seed in fitted]
        value, low, high = estimate(jackknife(scored)[metric])
        return Estimate(value) if np.isnan(low) else Estimate(value, low, high)

    modalities = fitted[0][0].fusion.modalities
    subsets = [
        subset
        for size in range(1, len(modalities) + 1)
        for subset in itertools.combinations(modalities, size)
    ]
    return Robustness(
        row.label,
        row.n or 0,
        tuple(score(at_random(share)) for share in SHARES),
        {" + ".join(subset): score(_only(subset)) for subset in subsets},
    )


def at_random(share: float) -> Keep:
    """Every modality of every utterance is missing with probability `share`, all independently.
    What is missing at one share is missing at every larger one, and for every fusion."""

    def keep(test: Joined) -> np.ndarray:
        return np.array(
            [[_drawn(name, key) >= share for key in test.keys_N] for name in test.modalities]
        )

    return keep


def _drawn(modality: str, key: str) -> float:
    """A number from 0 to 1 for a modality of an utterance, whichever fold or seed it is in."""
    digest = bytes_digest([f"{SEED} {modality} {key}".encode()])
    return int(digest[:DRAWN], 16) / 16**DRAWN


def _only(subset: Sequence[str]) -> Keep:
    def keep(test: Joined) -> np.ndarray:
        kept_M = np.isin(test.modalities, subset)
        return np.repeat(kept_M[:, None], len(test.keys_N), axis=1)

    return keep


def _scored(fitted: Sequence[_Fitted], keep: Keep, name: str) -> Scored:
    """The predictions of a row's fusions, of all folds together."""
    frames = []
    for one in fitted:
        kept_MN, batch = keep(one.test), one.test.batch
        # a modality that is missing has the class shares as its probabilities, as in a run
        log_probs_MNC = np.where(kept_MN[..., None], batch.log_probs_MNC, one.fusion.prior_C)
        present_MN = batch.present_MN & kept_MN
        scores_NC = one.fusion(LogitsBatch(log_probs_MNC, present_MN, batch.embeddings_M))
        scores_NC = scores_NC.astype(np.float32)  # as in a run's logits: ties fall alike
        frame = pd.DataFrame(scores_NC, columns=logit_columns(one.test.labels))
        labels = np.array(one.test.labels, dtype=object)[one.test.labels_N]
        columns = {"key": one.test.keys_N, "label": labels, "unit": one.test.units_N}
        for place, (column, values) in enumerate(columns.items()):
            frame.insert(place, column, values)
        frame.insert(len(columns), "present", present_MN.any(0))
        frames.append(frame)
    labels = fitted[0].test.labels
    return scored_frame(pd.concat(frames, ignore_index=True), labels, name, "test")


def missing_grids(table: Table, found: Sequence[Robustness]) -> list[Grid]:
    """The metric by the share that is missing, without intervals, and by subset, with them."""
    header = next(iter(table.metrics.values()))
    shares = [f"{share:.0%}" for share in SHARES]
    by_share = [
        [one.label, *(f"{estimate.value:.4f}" for estimate in one.by_share), str(one.n)]
        for one in found
    ]
    by_subset = [
        [one.label, present, estimate_text(each, percent=False), str(one.n)]
        for one in found
        for present, each in one.by_subset.items()
    ]
    return [
        Grid(f"{header}, with this share of modalities missing", ["row", *shares, "n"], by_share),
        Grid(
            f"{header}, if only these modalities are present",
            ["row", "present", header, "n"],
            by_subset,
        ),
    ]


def missing_records(table: Table, found: Sequence[Robustness]) -> list[dict[str, Any]]:
    """results.csv: a line for each row and share, then for each row and subset."""
    metric = next(iter(table.metrics)).split("/")[1]

    def record(one: Robustness, each: Estimate, **where: Any) -> dict[str, Any]:
        ends = {"low": each.low, "high": each.high}
        shown = {name: "" if value is None else f"{value:.6f}" for name, value in ends.items()}
        figures = {"metric": metric, "value": f"{each.value:.6f}", **shown, "n": one.n}
        return {"row": one.label, **where, **figures}

    by_share = [
        record(one, each, missing=f"{share:.1f}")
        for one in found
        for share, each in zip(SHARES, one.by_share, strict=True)
    ]
    by_subset = [
        record(one, each, present=present)
        for one in found
        for present, each in one.by_subset.items()
    ]
    return by_share + by_subset


def missing_remark(found: Sequence[Robustness]) -> str:
    """How to read the grids."""
    return (
        "The fusions are those that were fitted with all modalities, scored on the"
        f" {found[0].n} test utterances. With a share missing, each modality of each utterance is"
        " missing with that probability, independently; the same ones are missing for every row,"
        " and an utterance that has none left is predicted as the most common label of val. 95 %"
        " intervals at each share are in results.csv and in the figure; they do not cover which"
        " modalities happened to be missing."
    )

"""What the page's figures show of fusions: weights on the simplex of modalities, and which
modalities are right where others are wrong.

Computes with report/weights.py and report/complement.py; writes nothing. Used by page/figures.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from meld_lightning.page.rows import DIGITS, FigureRow
from meld_lightning.page.study_report import StudyReport
from meld_lightning.report.breakdowns import fusion_details
from meld_lightning.report.complement import complement
from meld_lightning.report.folds import unpooled
from meld_lightning.report.weights import SHOWN, surface
from meld_lightning.study.sources import FinishedRun


@dataclass(frozen=True)
class Weighting:
    """The weights that one seed of a row fitted, by modality."""

    row: int
    seed: int
    weights: list[float]


@dataclass(frozen=True)
class SurfaceData:
    """The score on val of every weighting of a table's modalities, for its first seed.

    table: its name. weights: by modality; score: weighted F1. fitted: what the rows' fusions chose.
    """

    table: str
    title: str
    seed: int
    modalities: list[str]
    weights: list[list[float]]
    score: list[float]
    fitted: list[Weighting]


@dataclass(frozen=True)
class SubsetData:
    """n: the utterances that exactly these modalities get right; fused: those of them that the
    fusion gets right."""

    right: list[str]
    n: float
    fused: float


@dataclass(frozen=True)
class ComplementData:
    """Who is right where others are wrong, for one fused row. row: its place among the rows."""

    row: int
    modalities: list[str]
    n: int
    oracle: float
    fused: float
    accuracy: dict[str, float]
    subsets: list[SubsetData] = field(default_factory=list)


def surfaces(report: StudyReport, rows: Sequence[FigureRow]) -> list[SurfaceData]:
    """One for each table of fusions of two or three modalities."""
    runs = _by_hash(rows)
    sources = report.sources
    found: dict[str, SurfaceData] = {}
    fused = [sources.get(row.runs[0].result.hash, {}) for row in rows]
    most = {
        row.key[0]: max(
            len(one) for other, one in zip(rows, fused, strict=True) if other.key[0] == row.key[0]
        )
        for row in rows
    }
    for place, row in enumerate(rows):
        table, first = row.key[0], row.runs[0]
        members = fused[place]
        names = list(members)
        if len(names) not in SHOWN or len(names) < most[table]:
            continue
        if table not in found:
            scores = surface({name: runs[one] for name, one in members.items()})
            found[table] = SurfaceData(
                table,
                report.material.tables[table].title,
                first.result.seed,
                names,
                scores.weights_WM.round(DIGITS).tolist(),
                scores.score_W.round(DIGITS).tolist(),
                [],
            )
        for run in (part for one in row.runs for part in unpooled(one)):
            weights = fusion_details(run)["fitted"].get("weights", {})
            if set(weights) == set(names):
                shares = _shares([float(weights[name]) for name in names])
                found[table].fitted.append(Weighting(place, run.result.seed, shares))
    return list(found.values())


def complements(report: StudyReport, rows: Sequence[FigureRow]) -> list[ComplementData]:
    """One for each row that fuses at least two modalities."""
    sources = report.sources
    scored = {
        run.result.hash: one for row in rows for run, one in zip(row.runs, row.scored, strict=True)
    }
    found = []
    for place, row in enumerate(rows):
        members = [sources.get(run.result.hash, {}) for run in row.runs]
        if len(members[0]) < 2:
            continue
        pairs = [
            (fusion, {name: scored[one] for name, one in of_seed.items()})
            for fusion, of_seed in zip(row.scored, members, strict=True)
        ]
        one = complement(pairs)
        names = list(members[0])
        found.append(
            ComplementData(
                place,
                names,
                one.n,
                round(one.oracle, DIGITS),
                round(one.fused, DIGITS),
                {
                    name: round(sum(s.n for s in one.subsets if name in s.right) / one.n, DIGITS)
                    for name in names
                },
                [SubsetData(list(s.right), round(s.n, 2), round(s.fused, 2)) for s in one.subsets],
            )
        )
    return found


def _by_hash(rows: Sequence[FigureRow]) -> Mapping[str, FinishedRun]:
    return {run.result.hash: run for row in rows for run in row.runs}


def _shares(weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    return [round(one / total, DIGITS) if total else 0.0 for one in weights]

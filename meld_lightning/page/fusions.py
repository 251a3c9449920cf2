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
    """The weights of the modalities that one fusion of a row fitted."""

    row: int
    seed: int
    weights: list[float]


@dataclass(frozen=True)
class SurfaceData:
    """The score on val of every weighting of a table's modalities, for its first seed.

    weights: each weighting's weight of each modality; score: its weighted F1. fitted: the weights
        that the rows' fusions chose.
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
    """One for each table of fusions of two or three modalities, over those of the first row that
    fuses most."""
    members = [report.sources.get(row.runs[0].result.hash, {}) for row in rows]
    most: dict[str, int] = {}
    for row, of_row in zip(rows, members, strict=True):
        most[row.key[0]] = max(most.get(row.key[0], 0), len(of_row))
    found: dict[str, SurfaceData] = {}
    for place, (row, of_row) in enumerate(zip(rows, members, strict=True)):
        table = row.key[0]
        if len(of_row) in SHOWN and len(of_row) == most[table]:
            if table not in found:
                found[table] = _surface(report, rows, row, of_row)
            found[table].fitted.extend(_weightings(place, row, found[table].modalities))
    return list(found.values())


def _surface(
    report: StudyReport, rows: Sequence[FigureRow], row: FigureRow, members: Mapping[str, str]
) -> SurfaceData:
    runs = _by_hash(rows)
    scores = surface({name: runs[one] for name, one in members.items()})
    return SurfaceData(
        row.key[0],
        report.material.tables[row.key[0]].title,
        row.runs[0].result.seed,
        list(members),
        scores.weights_WM.round(DIGITS).tolist(),
        scores.score_W.round(DIGITS).tolist(),
        [],
    )


def _weightings(place: int, row: FigureRow, modalities: Sequence[str]) -> list[Weighting]:
    """The weights that a row's fusions fitted to these modalities, for each seed and fold."""
    found = []
    for run in (part for one in row.runs for part in unpooled(one)):
        weights = fusion_details(run)["fitted"].get("weights", {})
        if set(weights) == set(modalities):
            shares = _shares([float(weights[name]) for name in modalities])
            found.append(Weighting(place, run.result.seed, shares))
    return found


def complements(report: StudyReport, rows: Sequence[FigureRow]) -> list[ComplementData]:
    """One for each row that fuses at least two modalities, each by itself as in
    StudyReport.alone."""
    scored = {
        run.result.hash: one for row in rows for run, one in zip(row.runs, row.scored, strict=True)
    }
    found = []
    for place, row in enumerate(rows):
        members = [report.alone.get(run.result.hash, {}) for run in row.runs]
        if not members[0]:
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

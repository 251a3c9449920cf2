"""The runs as data for the page: settings, provenance, learning curve and the command that makes
each again.

Reads run folders, writes nothing. Used by page/write.py; read by the page's panel.js.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from meld_lightning.page.study_report import StudyReport
from meld_lightning.page.tables import rounded
from meld_lightning.report.folds import PooledRun, unpooled
from meld_lightning.runs.evidence import settings
from meld_lightning.study.sources import FinishedRun
from meld_lightning.study.spec import RowKey

SHOWN = ("accuracy", "weighted_f1", "macro_f1", "loss")  # metrics shown for each split
EPOCH, FIT_LOSS = "epoch", "train/fit_loss"


@dataclass(frozen=True)
class RunData:
    """One run. parts: hashes of the runs of its folds, if it is several.

    rows: the (table, row) that it belongs to. sources: of a fusion, modality -> hash of
        the run that it fuses; alone: modality -> hash of the run that it is compared with.
    curve: column of metrics.csv -> a value for each epoch.
    config: as YAML, without paths.
    """

    name: str
    modality: str
    model: str
    checkpoint: str
    seed: int
    fold: str
    commit: str
    dirty: bool
    device: str
    wall_s: float | None
    peak_memory_mb: int | None
    source: str
    versions: dict[str, str]
    labels: list[str]
    best: dict[str, Any]
    metrics: dict[str, dict[str, float | None]]
    curve: dict[str, list[float | None]]
    config: str
    command: str
    rows: list[RowKey] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    alone: dict[str, str] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)


def runs_data(report: StudyReport) -> dict[str, RunData]:
    """hash -> run."""
    rows: dict[str, list[RowKey]] = {}
    runs: dict[str, FinishedRun] = {}
    for name, of_row in report.rows().items():
        for run in of_row:
            for one in {part.result.hash: part for part in (run, *unpooled(run))}.values():
                runs[one.result.hash] = one
                rows.setdefault(one.result.hash, []).append(name)
    return {name: _run(report, run, rows[name]) for name, run in runs.items()}


def _run(report: StudyReport, run: FinishedRun, rows: list[RowKey]) -> RunData:
    result = run.result
    pooled = isinstance(run, PooledRun)
    name = f"{result.modality}-{result.model}"
    return RunData(
        name=name,
        modality=result.modality,
        model=result.model,
        checkpoint=result.checkpoint,
        seed=result.seed,
        fold="" if result.fold is None else str(result.fold),
        commit=result.commit or "",
        dirty=result.dirty,
        device=result.device,
        wall_s=_wall_s(run),
        peak_memory_mb=result.peak_memory_mb,
        source=result.source or "",
        versions=dict(result.versions),
        labels=list(result.labels),
        best={} if pooled else {key: result.best[key] for key in sorted(result.best)},
        metrics={
            split: {key: rounded(found[key]) for key in SHOWN if found.get(key) is not None}
            for split, found in result.metrics.items()
        },
        curve={} if pooled else curve(Path(run.folder)),
        config="" if pooled else OmegaConf.to_yaml(OmegaConf.create(settings(run.config))),
        command=report.commands.get(result.hash, ""),
        rows=rows,
        sources=report.sources.get(result.hash, {}),
        alone=report.alone.get(result.hash, {}),
        parts=[part.result.hash for part in unpooled(run)] if pooled else [],
    )


def _wall_s(run: FinishedRun) -> float | None:
    """Seconds of all parts together; None unless each has recorded them."""
    found = [part.result.wall_s for part in unpooled(run)]
    return sum(one for one in found if one is not None) if None not in found else None


def curve(folder: Path) -> dict[str, list[float | None]]:
    """metrics.csv by column; empty for a run without epochs, such as a fusion."""
    path = folder / "metrics.csv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    if len(lines) < 1 or FIT_LOSS not in lines[0]:
        return {}
    return {
        column: [rounded(float(line[column])) if line[column] else None for line in lines]
        for column in lines[0]
    }

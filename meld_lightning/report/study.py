"""A study: which runs its tables need, the evidence kept of them, and the tables rendered from either.

Reads conf/table, conf/study, run folders; writes experiments/<study>/. Used by `reproduce` and `report`.
"""

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose
from omegaconf import DictConfig

from meld_lightning.config import Tables, check, plain
from meld_lightning.errors import UserError
from meld_lightning.report.render import render_tables
from meld_lightning.report.spec import needed_cells
from meld_lightning.runs import Run, find_run, hashed_config, identify, keep_evidence, load_run, sha, write_json

CellKey = tuple[str, str]  # table, cell
NOT_FOR_TRAIN = ("tables=", "table.", "table=", "study.seeds", "study.tables", "hydra")


@dataclass(frozen=True)
class CellRun:
    """One run that a cell needs: what `train` would be asked, and the config that makes."""

    overrides: list[str]
    config: DictConfig


def read_cells(cfg: DictConfig, asked: Sequence[str]) -> dict[CellKey, list[CellRun]]:
    """The runs of every cell that the chosen tables need, one per seed. `asked`: the command's own overrides.

    Raises UserError for a wrong config, before anything runs.
    """
    check(cfg, Tables)
    shared = [override for override in asked if not override.lstrip("+~").startswith(NOT_FOR_TRAIN)]
    cells: dict[CellKey, list[CellRun]] = {}
    for cell, overrides in needed_cells(plain(cfg.table), cfg.tables).items():
        of_seeds = [[*shared, *overrides, f"seed={seed}"] for seed in cfg.study.seeds]
        cells[cell] = [CellRun(one, compose("train", one)) for one in of_seeds]
    return cells


def find_runs(cfg: DictConfig, cells: Mapping[CellKey, Sequence[CellRun]]) -> dict[CellKey, list[Run]]:
    """The runs at hand: finished ones of the prepared corpus, else the study's evidence with the same config."""
    evidence = {run.result["config_hash"]: run for run in _evidence(cfg)}
    return {cell: [run for one in runs if (run := _find(one.config, evidence))] for cell, runs in cells.items()}


def keep_study(cfg: DictConfig, runs: Mapping[CellKey, Sequence[Run]], corpus_report: Mapping[str, Any]) -> None:
    """Copies the runs and the corpus's counts into experiments/<study>/ as evidence."""
    folder = _folder(cfg)
    for run in {run.result["hash"]: run for of_cell in runs.values() for run in of_cell}.values():
        keep_evidence(run, folder / "runs")
    write_json(folder / "corpus.json", {key: corpus_report[key] for key in ("table_01", "emotions")})


def render_study(cfg: DictConfig, runs: Mapping[CellKey, Sequence[Run]]) -> None:
    """Writes the chosen tables below experiments/<study>/ and drops evidence that no table rests on any more."""
    folder = _folder(cfg)
    counts = folder / "corpus.json"
    corpus_report = json.loads(counts.read_text()) if counts.is_file() else None
    written = render_tables(
        plain(cfg.table), cfg.tables, runs, cfg.study.seeds, corpus_report, plain(cfg.study), folder
    )
    _drop_stale(folder)
    print(f"tables: {written[-1]}")


def _find(config: DictConfig, evidence: Mapping[str, Run]) -> Run | None:
    try:
        found = find_run(identify(config))
    except UserError:  # nothing prepared here: a fresh clone, which has evidence only
        found = None
    return found or evidence.get(sha(hashed_config(config)))


def _evidence(cfg: DictConfig) -> list[Run]:
    return [load_run(path.parent) for path in sorted(_folder(cfg).glob("runs/*/result.json"))]


def _drop_stale(folder: Path) -> None:
    used = set()
    for path in folder.glob("*/results.csv"):
        with path.open(newline="") as file:
            used |= {row["run"] for row in csv.DictReader(file)}
    for run in folder.glob("runs/*"):
        if run.name not in used:
            shutil.rmtree(run)


def _folder(cfg: DictConfig) -> Path:
    return Path(cfg.paths.experiments) / cfg.study.name

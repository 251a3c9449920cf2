"""A study: which runs its tables need, the evidence kept of them, and the tables rendered from either.

Reads conf/table, conf/study, run folders; writes experiments/<study>/. Used by `reproduce` and `report`.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose
from omegaconf import DictConfig

from meld_lightning.config import Tables, check, plain
from meld_lightning.corpus import prepared_corpus
from meld_lightning.errors import NotPrepared, UserError
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
    """The runs at hand: finished ones of the prepared corpus and checkpoints, else the evidence of the same runs.

    Where nothing is prepared (a fresh clone), evidence is known by its config alone. Raises UserError where two pieces
    of evidence then fit one cell, or where what was prepared has changed since.
    """
    evidence = [load_run(path.parent) for path in sorted(_folder(cfg).glob("runs/*/result.json"))]
    found = {cell: [run for one in runs if (run := _find(one.config, evidence))] for cell, runs in cells.items()}
    kept = {run.folder for of_cell in found.values() for run in of_cell} & {run.folder for run in evidence}
    if kept:
        print(f"{len(kept)} runs are read from the evidence in {_folder(cfg) / 'runs'}")
    return found


def keep_study(
    cfg: DictConfig, runs: Mapping[CellKey, Sequence[Run]], corpus_report: Mapping[str, Any], whole: bool
) -> None:
    """Copies the runs and the corpus's counts into experiments/<study>/ as evidence.

    whole: `runs` are all that the study's tables rest on, so that any other evidence is stale and goes.
    """
    folder = _folder(cfg)
    folder.mkdir(parents=True, exist_ok=True)
    by_hash = {run.result["hash"]: run for of_cell in runs.values() for run in of_cell}
    for run in by_hash.values():
        keep_evidence(run, folder / "runs")
    for path in folder.glob("runs/*") if whole else ():
        if path.name not in by_hash:
            shutil.rmtree(path)
    write_json(folder / "corpus.json", {key: corpus_report[key] for key in ("table_01", "emotions")})


def render_study(cfg: DictConfig, runs: Mapping[CellKey, Sequence[Run]]) -> None:
    """Writes the chosen tables below experiments/<study>/."""
    folder = _folder(cfg)
    kept = folder / "corpus.json"
    corpus_report: dict[str, Any] | None
    try:
        corpus_report = prepared_corpus(cfg.corpus, Path(cfg.paths.cache)).report
    except NotPrepared:
        corpus_report = json.loads(kept.read_text()) if kept.is_file() else None
    written = render_tables(
        plain(cfg.table), cfg.tables, runs, cfg.study.seeds, corpus_report, plain(cfg.study), folder
    )
    print(f"tables: {written[-1]}")


def _find(config: DictConfig, evidence: Sequence[Run]) -> Run | None:
    try:
        identity = identify(config)
    except NotPrepared:
        wanted = sha(hashed_config(config))
        fitting = [run for run in evidence if run.result["config_hash"] == wanted]
        if len(fitting) > 1:
            raise UserError(
                f"{fitting[0].folder} and {fitting[1].folder}: the same config over different data; "
                "prepare the corpus and the checkpoints that are meant"
            ) from None
    else:
        if run := find_run(identity):
            return run
        fitting = [run for run in evidence if run.result["hash"] == identity.hash]
    return fitting[0] if fitting else None


def _folder(cfg: DictConfig) -> Path:
    return Path(cfg.paths.experiments) / cfg.study.name

"""A study: which runs and fusions its tables need, the evidence kept of them, and the tables
rendered from either.

Reads conf/table, conf/study, run folders; writes experiments/<study>/. Used by `reproduce` and
`report`.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose
from omegaconf import DictConfig

from meld_lightning.config.check import Tables, check, plain
from meld_lightning.corpus import prepared_corpus
from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.report.folds import pooled
from meld_lightning.report.render import render_tables
from meld_lightning.report.strip import frame_strip
from meld_lightning.runs.run import Run, find_run, hashed_config, identify, keep_evidence, load_run
from meld_lightning.storage.atomic import write_json, writing
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.study.sources import source_runs
from meld_lightning.study.spec import needed_cells, needed_fusions, read_tables
from meld_lightning.tracking.loggers import grouped

CellKey = tuple[str, str]  # table, cell
NOT_FOR_TRAIN = ("tables=", "table.", "table=", "study.seeds", "study.tables", "hydra")


@dataclass(frozen=True)
class CellRun:
    """One run that a cell needs: what `train` would be asked, and the config that makes."""

    overrides: list[str]
    config: DictConfig


def read_cells(cfg: DictConfig, asked: Sequence[str]) -> dict[CellKey, list[CellRun]]:
    """The runs of every cell that the chosen tables need, one per seed and fold. `asked`: the
    command's own overrides.

    Raises UserError for a wrong config, before anything runs.
    """
    check(cfg, Tables)
    shared, tables = _shared(asked), read_tables(plain(cfg.table))
    cells: dict[CellKey, list[CellRun]] = {}
    for (table, cell), overrides in needed_cells(plain(cfg.table), cfg.tables).items():
        folds = [[f"corpus.fold={fold}"] for fold in tables[table].folds] or [[]]
        every = [
            [*shared, *overrides, *fold, f"seed={seed}"]
            for seed in cfg.study.seeds
            for fold in folds
        ]
        cells[table, cell] = [
            CellRun(one, grouped(compose("train", one), cfg.study.name)) for one in every
        ]
    return cells


def read_fusions(
    cfg: DictConfig, asked: Sequence[str], runs: Mapping[CellKey, Sequence[Run]]
) -> dict[CellKey, list[DictConfig]]:
    """The fusions of every cell that the chosen tables need, one per seed, over the runs that their
    sources name.

    A cell whose sources are not all there has none.
    """
    shared = [
        override for override in _shared(asked) if not override.lstrip("+~").startswith("logger")
    ]
    tables = read_tables(plain(cfg.table))
    found: dict[CellKey, list[DictConfig]] = {}
    for (table, cell), overrides in needed_fusions(plain(cfg.table), cfg.tables).items():
        of_modality = {
            name: source_runs(source, tables, runs, cfg.study.seeds)
            for name, source in tables[table].sources.items()
        }
        for seed in cfg.study.seeds if all(of_modality.values()) else ():
            config = compose("fuse", [*shared, *overrides, f"seed={seed}"])
            config.runs = {name: str(by_seed[seed].folder) for name, by_seed in of_modality.items()}
            found.setdefault((table, cell), []).append(config)
    return found


def find_fusions(
    cfg: DictConfig, fusions: Mapping[CellKey, Sequence[DictConfig]]
) -> dict[CellKey, list[Run]]:
    """The fusion runs at hand: finished ones, else the evidence of the same."""
    from meld_lightning.fusion.fuse import identify_fusion, named_runs

    evidence = {path.parent.name: path.parent for path in _folder(cfg).glob("runs/*/result.json")}
    found: dict[CellKey, list[Run]] = {}
    for cell, configs in fusions.items():
        for config in configs:
            identity = identify_fusion(config, named_runs(config))
            run = find_run(identity) or (
                load_run(evidence[identity.hash]) if identity.hash in evidence else None
            )
            found.setdefault(cell, []).extend([run] if run else [])
    return found


def find_runs(
    cfg: DictConfig, cells: Mapping[CellKey, Sequence[CellRun]]
) -> dict[CellKey, list[Run]]:
    """The runs at hand: finished ones of the prepared corpus and checkpoints, else the evidence of
    the same runs.

    Where nothing is prepared (a fresh clone), evidence is known by its config alone. Raises
    UserError where two pieces of evidence then fit one cell, or where what was prepared has changed
    since.
    """
    evidence = [load_run(path.parent) for path in sorted(_folder(cfg).glob("runs/*/result.json"))]
    found = {
        cell: [run for one in runs if (run := _find(one.config, evidence))]
        for cell, runs in cells.items()
    }
    kept = {run.folder for of_cell in found.values() for run in of_cell} & {
        run.folder for run in evidence
    }
    if kept:
        print(f"{len(kept)} runs are read from the evidence in {_folder(cfg) / 'runs'}")
    return found


def keep_study(
    cfg: DictConfig,
    runs: Mapping[CellKey, Sequence[Run]],
    corpus_report: Mapping[str, Any],
    whole: bool,
) -> None:
    """Copies the runs and the corpus's counts into experiments/<study>/ as evidence.

    whole: `runs` are all that the study's tables rest on, so that any other evidence is stale and
        goes.
    """
    folder = _folder(cfg)
    folder.mkdir(parents=True, exist_ok=True)
    by_hash = {run.result["hash"]: run for of_cell in runs.values() for run in of_cell}
    with writing(folder):
        for run in by_hash.values():
            keep_evidence(run, folder / "runs")
    for path in folder.glob("runs/*") if whole else ():
        if path.name not in by_hash:
            shutil.rmtree(path)
    write_json(
        folder / "corpus.json",
        {
            key: corpus_report[key]
            for key in ("table_01", "emotions", "optimum")
            if corpus_report.get(key)
        },
    )


def render_study(
    cfg: DictConfig,
    runs: Mapping[CellKey, Sequence[Run]],
    cells: Mapping[CellKey, Sequence[CellRun]],
) -> None:
    """Writes the chosen tables and figures below experiments/<study>/. cells: as read_cells gives
    them."""
    # but for the seed, which draws no frame, the configs of a cell are alike
    configs = {
        run.result["hash"]: of_cell[0].config
        for cell, of_cell in cells.items()
        for run in runs.get(cell, ())
    }
    tables, folder = read_tables(plain(cfg.table)), _folder(cfg)
    kept = folder / "corpus.json"
    corpus_report: dict[str, Any] | None
    try:
        corpus_report = prepared_corpus(cfg.corpus, Path(cfg.paths.cache)).report
    except NotPrepared:
        corpus_report = json.loads(kept.read_text()) if kept.is_file() else None
    if corpus_report and cfg.target != "emotion":
        corpus_report = {**corpus_report, "optimum": None}  # which is that of emotions
    with writing(folder):
        written = render_tables(
            plain(cfg.table),
            cfg.tables,
            {cell: pooled(found, tables[cell[0]].folds) for cell, found in runs.items()},
            cfg.study.seeds,
            corpus_report,
            plain(cfg.study),
            folder,
            lambda run: frame_strip(configs[run.result["hash"]], run),
        )
    print(f"tables: {written[-1]}", flush=True)


def _shared(asked: Sequence[str]) -> list[str]:
    return [override for override in asked if not override.lstrip("+~").startswith(NOT_FOR_TRAIN)]


def _find(config: DictConfig, evidence: Sequence[Run]) -> Run | None:
    try:
        identity = identify(config)
    except NotPrepared:
        wanted = digest_of(hashed_config(config))
        fitting = [run for run in evidence if run.result["config_hash"] == wanted]
        if len(fitting) > 1:
            raise UserError(
                f"{fitting[0].folder} and {fitting[1].folder}: the same config over different data;"
                " prepare the corpus and the checkpoints that are meant"
            ) from None
    else:
        if run := find_run(identity):
            return run
        fitting = [run for run in evidence if run.result["hash"] == identity.hash]
    return fitting[0] if fitting else None


def _folder(cfg: DictConfig) -> Path:
    return Path(cfg.paths.experiments) / cfg.study.name

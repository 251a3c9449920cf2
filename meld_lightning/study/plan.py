"""The runs and fusions that a study's tables need, as the commands that would make them.

Reads the composed config (conf/table, conf/study), writes nothing. Used by `reproduce`, which makes
the runs, and by `report`, which looks for them.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from meld_lightning.config.check import check
from meld_lightning.config.collector import collector_paused
from meld_lightning.config.nodes import Tables
from meld_lightning.config.tree import plain
from meld_lightning.runs.run import Run
from meld_lightning.study.compositions import Compositions
from meld_lightning.study.kinds import named_table, read_tables
from meld_lightning.study.sources import of_fold, ranked_runs
from meld_lightning.study.spec import Overrides, RowKey, Table
from meld_lightning.tracking.loggers import grouped

# overrides of `reproduce` and `report` that `train` and `fuse` do not take
NOT_FOR_TRAIN = (
    *("tables=", "table.", "table=", "reports=", "serve=", "port="),
    *("study.seeds", "study.tables", "hydra"),
)


@dataclass(frozen=True)
class PlannedRun:
    """One training run that a row needs: overrides of `train`, and the config they compose to."""

    overrides: list[str]
    config: DictConfig


@dataclass(frozen=True)
class Plans:
    """What a study's runs are made from: overrides and configs of its trainings, configs of its
    fusions."""

    runs: Mapping[RowKey, Sequence[PlannedRun]]
    fusions: Mapping[RowKey, Sequence[DictConfig]]


@collector_paused()
def plan_runs(
    cfg: DictConfig, asked: Sequence[str], node: type[Tables] = Tables
) -> dict[RowKey, list[PlannedRun]]:
    """The training runs of every row that the chosen tables need, one per seed and fold.

    asked: the command's own overrides, which the runs inherit; node: the keys of the command.

    Raises UserError for a wrong config, before anything runs.
    """
    check(cfg, node)
    shared, tables = shared_overrides(asked), read_tables(plain(cfg.table))
    planned: dict[RowKey, list[PlannedRun]] = {}
    compositions = Compositions("train")
    for (table, row), overrides in needed_rows(plain(cfg.table), cfg.tables).items():
        words = [*shared, *overrides]
        composed = grouped(compositions.of(words), cfg.study.name)
        planned[table, row] = [
            PlannedRun([*words, *_as_overrides(seed, fold)], _with(composed, seed, fold))
            for seed in cfg.study.seeds
            for fold in tables[table].folds or (None,)
        ]
    return planned


@collector_paused()
def plan_fusions(
    cfg: DictConfig, asked: Sequence[str], runs: Mapping[RowKey, Sequence[Run]]
) -> dict[RowKey, list[DictConfig]]:
    """The fusions of every row that the chosen tables need, one config per seed and fold; one per
    fold for an ensemble of seeds.

    runs: the training runs that exist. A row whose source runs are not all among them is left out.
    """
    shared = [one for one in shared_overrides(asked) if not one.lstrip("+~").startswith("logger")]
    tables = read_tables(plain(cfg.table))
    planned: dict[RowKey, list[DictConfig]] = {}
    compositions = Compositions("fuse")
    for (table, row), overrides in needed_fusions(plain(cfg.table), cfg.tables).items():
        composed = compositions.of([*shared, *overrides])
        for fold in tables[table].folds or (None,):
            by_modality = {
                name: ranked_runs(source, tables, of_fold(runs, fold), cfg.study.seeds)
                for name, source in tables[table].sources.items()
            }
            seeds = tables[table].seeds(cfg.study.seeds)
            for seed in seeds if all(by_modality.values()) else ():
                ranked = {name: by_seed[seed] for name, by_seed in by_modality.items()}
                config = _fusion_of(_with(composed, seed, fold), ranked)
                planned.setdefault((table, row), []).append(config)
    return planned


def _as_overrides(seed: int, fold: int | None) -> list[str]:
    """The overrides that `_with` stands for."""
    return [*([] if fold is None else [f"corpus.fold={fold}"]), f"seed={seed}"]


def _with(composed: DictConfig, seed: int, fold: int | None) -> DictConfig:
    """A copy with this seed and, unless it is None, this fold: composing them costs much more."""
    config = copy.deepcopy(composed)
    config.seed = seed
    if fold is not None:
        config.corpus.fold = fold
    return config


def _fusion_of(config: DictConfig, ranked: Mapping[str, Sequence[Run]]) -> DictConfig:
    """The fusion's config with its runs. ranked: modality -> its run, then those it was chosen
    over."""
    config.runs = {name: str(one.folder) for name, (one, *_) in ranked.items()}
    config.alternatives = {
        name: [str(one.folder) for one in others] for name, (_, *others) in ranked.items() if others
    }
    return config


def needed_rows(
    tables: Mapping[str, Mapping[str, Any]], selected: Iterable[str]
) -> dict[RowKey, Overrides]:
    """(table, row) -> overrides of `train`, for every trained row that the selected tables rest on.

    `from` and `sources` are followed and `product` is expanded; rows that the study does not run
    (null) are left out. In the order of `selected`.
    """
    return _declared(read_tables(tables), selected, fused=False)


def needed_fusions(
    tables: Mapping[str, Mapping[str, Any]], selected: Iterable[str]
) -> dict[RowKey, Overrides]:
    """(table, row) -> overrides of `fuse`, for every fused row that the selected tables rest on."""
    return _declared(read_tables(tables), selected, fused=True)


def _declared(
    tables: Mapping[str, Table], selected: Iterable[str], *, fused: bool
) -> dict[RowKey, Overrides]:
    found: dict[RowKey, Overrides] = {}
    for name in selected:
        table = named_table(tables, name)
        own = [(table.source, row) for row in table.rows]
        for owner, row in [*_source_rows(tables, table), *own]:
            overrides = tables[owner].rows[row]
            if overrides is not None and bool(tables[owner].sources) == fused:
                found.setdefault((owner, row), overrides)
    return found


def _source_rows(tables: Mapping[str, Table], table: Table) -> Iterator[RowKey]:
    """The rows that a table's sources may be, each after those that it is fused from itself."""
    for source in table.sources.values():
        for owner, row in source.candidates(tables):
            yield from _source_rows(tables, tables[owner])
            yield owner, row


def checkpoints_of(configs: Iterable[DictConfig]) -> list[str]:
    """The names of all checkpoints that these runs (conf/train.yaml, composed) start from."""
    return sorted({str(one.model.checkpoint) for one in configs if one.model.get("checkpoint")})


def shared_overrides(asked: Sequence[str]) -> list[str]:
    """Those of the command's own overrides that its runs inherit."""
    return [override for override in asked if not override.lstrip("+~").startswith(NOT_FOR_TRAIN)]

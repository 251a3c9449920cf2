"""From a command's config to the page: gathers what the page is made from, and writes it.

Reads the prepared corpus, where it is at hand; writes reports/<study>/index.html. Used by the
commands `report` and `reproduce`.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from meld_lightning.config.tree import plain
from meld_lightning.corpus import Corpus, prepared_corpus
from meld_lightning.errors import UserError
from meld_lightning.media import Media, prepared_media
from meld_lightning.page.study_report import StudyReport
from meld_lightning.page.write import write_page
from meld_lightning.report.folds import unpooled
from meld_lightning.report.results import Material, TableResults
from meld_lightning.study.plan import PlannedRun, needed_fusions, shared_overrides
from meld_lightning.study.spec import Overrides, RowKey

logger = logging.getLogger(__name__)

# stands in commands for the folder or file that the corpus was read from
CORPUS = "corpus.root=CORPUS"


@dataclass(frozen=True)
class Plans:
    """What a study's runs are made from: overrides and configs of its trainings, configs of its
    fusions."""

    runs: Mapping[RowKey, Sequence[PlannedRun]]
    fusions: Mapping[RowKey, Sequence[DictConfig]]


def make_page(
    cfg: DictConfig,
    asked: Sequence[str],
    plans: Plans,
    material: Material,
    results: Sequence[TableResults],
) -> Path:
    """Writes the page of a study. asked: the command's own overrides."""
    fusions = needed_fusions(plain(cfg.table), cfg.tables)
    commands = {
        **_train_commands(plans.runs, material),
        **_fuse_commands(plans.fusions, fusions, asked, material),
    }
    corpus = _corpus(cfg)
    media = None if corpus is None else _media(cfg, corpus)
    report = StudyReport(material, results, commands, _command("reproduce", asked), corpus, media)
    path = write_page(report, Path(cfg.reports) / cfg.study.name)
    logger.info("page: %s", path)
    return path


def _corpus(cfg: DictConfig) -> Corpus | None:
    """The prepared corpus; None where it is not prepared, or its files have changed since."""
    try:
        return prepared_corpus(cfg.corpus, Path(cfg.paths.cache))
    except UserError:
        return None


def _media(cfg: DictConfig, corpus: Corpus) -> Media | None:
    """The decoded clips; None unless the study shows them and they are decoded here."""
    if not cfg.study.get("show_clips", False):
        return None
    settings: Any = OmegaConf.to_container(cfg.media, resolve=True)
    try:
        return prepared_media(corpus.table, corpus.name, settings, Path(cfg.paths.cache))
    except UserError:
        return None


def _train_commands(
    planned: Mapping[RowKey, Sequence[PlannedRun]], material: Material
) -> dict[str, str]:
    """hash -> the `train` command of each run that was planned, found again by seed and fold."""
    found = {}
    for row, of_row in planned.items():
        by_seed = {(one.config.seed, one.config.corpus.fold): one for one in of_row}
        folds = material.tables[row[0]].folds
        for run in (part for one in material.runs.get(row, ()) for part in unpooled(one)):
            fold = run.result.fold if folds else of_row[0].config.corpus.fold
            if (one := by_seed.get((run.result.seed, fold))) is not None:
                found[run.result.hash] = _command("train", one.overrides)
    return found


def _fuse_commands(
    planned: Mapping[RowKey, Sequence[DictConfig]],
    declared: Mapping[RowKey, Overrides],
    asked: Sequence[str],
    material: Material,
) -> dict[str, str]:
    """hash -> the `fuse` command of each fusion, which names the folders of the runs it fuses."""
    found = {}
    for row, configs in planned.items():
        folds = material.tables[row[0]].folds
        by_seed = {(one.seed, one.corpus.fold if folds else None): one for one in configs}
        for run in (part for one in material.runs.get(row, ()) for part in unpooled(one)):
            config = by_seed[run.result.seed, run.result.fold if folds else None]
            words = [
                *shared_overrides(asked),
                *declared[row],
                *([f"corpus.fold={config.corpus.fold}"] if folds else []),
                f"seed={config.seed}",
                *(f"runs.{name}={folder}" for name, folder in config.runs.items()),
                *(
                    f"+alternatives.{name}=[{','.join(folders)}]"
                    for name, folders in config.alternatives.items()
                ),
            ]
            found[run.result.hash] = _command("fuse", words)
    return found


def _command(name: str, words: Sequence[str]) -> str:
    return shlex.join(["meld-lightning", name, *map(_with_corpus, words)])


def _with_corpus(override: str) -> str:
    """Without the folder of this machine."""
    return CORPUS if override.startswith("corpus.root=") else override

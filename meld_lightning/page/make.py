"""From a command's config to the page: gathers what the page is made from, and writes it.

Reads the prepared corpus, where it is at hand; writes reports/<study>/index.html. Used by the
commands `report` and `reproduce`.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from meld_lightning.config.tree import plain
from meld_lightning.page.at_hand import clips_at_hand, corpus_at_hand
from meld_lightning.page.study_report import StudyReport
from meld_lightning.page.write import write_page
from meld_lightning.report.folds import unpooled
from meld_lightning.report.results import Material, TableResults
from meld_lightning.study.plan import PlannedRun, Plans, needed_fusions, shared_overrides
from meld_lightning.study.spec import Overrides, RowKey

logger = logging.getLogger(__name__)

# stands in commands for the folder or file that the corpus was read from
CORPUS = "corpus.root=CORPUS"


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
    corpus = corpus_at_hand(cfg)
    media = None if corpus is None else clips_at_hand(cfg, corpus)
    report = StudyReport(material, results, commands, _command("reproduce", asked), corpus, media)
    path = write_page(report, Path(cfg.reports) / cfg.study.name)
    logger.info("page: %s", path)
    return path


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

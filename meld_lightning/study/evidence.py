"""Finds a study's runs: finished ones, otherwise their evidence in experiments/<study>/.

Reads run folders, experiments/<study>/runs, which `keep_study` writes, and the note.md beside it,
which people write. Used by `reproduce` and `report`.
"""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from meld_lightning.errors import NotPrepared, UserError
from meld_lightning.runs.evidence import keep_evidence, kept_run
from meld_lightning.runs.identity import canonical_config
from meld_lightning.runs.run import Run, find_run
from meld_lightning.storage.atomic import write_json, writing
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.study.plan import PlannedRun
from meld_lightning.study.spec import RowKey
from meld_lightning.training.train import training_request

logger = logging.getLogger(__name__)


def study_folder(cfg: DictConfig) -> Path:
    """experiments/<study>/"""
    return Path(cfg.paths.experiments) / cfg.study.name


def study_note(cfg: DictConfig) -> str:
    """What is printed above a study's tables: experiments/<study>/note.md, which says what the
    evidence there showed; without it study.note, which studies that inherit it may print."""
    path = study_folder(cfg) / "note.md"
    return " ".join(path.read_text().split()) if path.is_file() else str(cfg.study.note)


def find_fusions(
    cfg: DictConfig, fusions: Mapping[RowKey, Sequence[DictConfig]]
) -> dict[RowKey, list[Run]]:
    """The finished fusions, or their evidence where they are not finished here."""
    from meld_lightning.fusion.fuse import Fusing

    evidence = {folder.name: folder for folder in _kept_folders(cfg)}
    found: dict[RowKey, list[Run]] = {}
    for row, configs in fusions.items():
        for config in configs:
            identity = Fusing(config).identity
            run = find_run(identity)
            if run is None and identity.hash in evidence:
                run = kept_run(evidence[identity.hash])
            found.setdefault(row, []).extend([run] if run else [])
    return found


def find_runs(
    cfg: DictConfig, planned: Mapping[RowKey, Sequence[PlannedRun]]
) -> dict[RowKey, list[Run]]:
    """The finished training runs, or their evidence where they are not finished here.

    Where nothing is prepared, as in a fresh clone, evidence is recognised by its config alone.
    Raises UserError if two pieces of evidence then match one run, or if prepared data has changed
    since it was prepared.
    """
    evidence = [run for one in _kept_folders(cfg) if (run := kept_run(one))]
    found = {
        row: [run for one in runs if (run := _find(one.config, evidence))]
        for row, runs in planned.items()
    }
    kept = {run.folder for of_row in found.values() for run in of_row} & {
        run.folder for run in evidence
    }
    if kept:
        where = study_folder(cfg) / "runs"
        logger.info("runs read from the evidence in %s: %d", where, len(kept))
    return found


def _kept_folders(cfg: DictConfig) -> list[Path]:
    """The folders with the evidence of one run each, without those that `keep_evidence` had not
    finished when it was killed."""
    results = study_folder(cfg).glob("runs/*/result.json")
    return sorted(path.parent for path in results if not path.parent.name.startswith("."))


def _find(config: DictConfig, evidence: Sequence[Run]) -> Run | None:
    try:
        identity = training_request(config).identity
    except NotPrepared:
        wanted = digest_of(canonical_config(config))
        fitting = [run for run in evidence if run.result.config_hash == wanted]
        if len(fitting) > 1:
            raise UserError(
                f"{fitting[0].folder} and {fitting[1].folder} have the same config but different"
                " data; prepare the corpus and the checkpoints, so that one of them can be chosen"
            ) from None
    else:
        if run := find_run(identity):
            return run
        fitting = [run for run in evidence if run.result.hash == identity.hash]
    return fitting[0] if fitting else None


def keep_study(
    cfg: DictConfig,
    runs: Mapping[RowKey, Sequence[Run]],
    corpus_report: Mapping[str, Any],
    complete: bool,
) -> None:
    """Copies the runs and the corpus's counts into experiments/<study>/ as evidence.

    complete: `runs` are all that the study's tables rest on, so that any other evidence is stale
        and is deleted.
    """
    folder = study_folder(cfg)
    folder.mkdir(parents=True, exist_ok=True)
    by_hash = {run.result.hash: run for of_row in runs.values() for run in of_row}
    with writing(folder):
        for run in by_hash.values():
            keep_evidence(run, folder / "runs")
    for path in folder.glob("runs/*") if complete else ():
        if path.name not in by_hash and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
    write_json(
        folder / "corpus.json",
        {
            key: corpus_report[key]
            for key in ("table_01", "emotions", "optimum")
            if corpus_report.get(key)
        },
    )

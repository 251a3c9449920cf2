"""Exports a run or a fusion as one folder that loads anywhere, without pickles and without paths of
this machine.

Reads run folders and the checkpoints that `prepare` recorded; writes the folder that bundle.py
describes, atomically. Used by the command `export`.
"""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from meld_lightning.errors import UserError
from meld_lightning.fusion.state import ARRAYS, DESCRIPTION, load_fusion, save_fusion
from meld_lightning.inference.bundle import (
    CALIBRATION,
    CARD,
    FUSION,
    MEMBERS,
    Bundle,
    is_export,
    read_bundle,
    write_bundle,
)
from meld_lightning.inference.export.card import Figures, model_card
from meld_lightning.inference.loaded import MEMBER, LoadedModel, load_model
from meld_lightning.inference.members import is_mini, member_runs
from meld_lightning.inference.val_scores import calibrated_run, val_scores_of
from meld_lightning.inference.weights import write_weights
from meld_lightning.runs.evidence import settings
from meld_lightning.runs.run import Run
from meld_lightning.storage.atomic import atomic_folder, json_text


def export(
    run: Run,
    target: Path,
    figures: Figures,
    *,
    overwrite: bool = False,
    licence: str | None = None,
    cache: Path | None = None,
) -> Bundle:
    """Writes a finished run or fusion into `target`.

    figures: the scores that the model card prints.
    overwrite: replace an existing export.
    cache: where `prepare` recorded the checkpoints; None: the caches that the runs were made with.
    Raises UserError if the target holds anything else, or lies in a run or contains one, and if a
    run's weights or checkpoint are missing.
    """
    members = member_runs(run)
    check_target(target, [run, *members.values()], overwrite)
    loaded = {name: load_model(one.folder, cache) for name, one in members.items()}
    described = Bundle(
        folder=target,
        name=f"{run.result.modality}-{run.result.model}",
        fused=bool(run.config.get("fusion")),
        labels=run.result.labels,
        modalities=tuple(members),
        target=str(run.config.target),
        corpus=str(run.config.corpus.name),
        mini=any(is_mini(one) for one in members.values()),
        scores=figures.scores,
    )
    with atomic_folder(target) as fresh:
        for name, one in members.items():
            _write_member(one, loaded[name], fresh / MEMBERS / name)
        _write_fusion(run, fresh)
        val_scores_of(run).save(fresh)
        card = model_card(described, members, figures, licence)
        (fresh / CARD).write_text(card, encoding="utf-8")
        write_bundle(described, fresh)
        for path in fresh.rglob("*.safetensors"):  # written for their owner alone
            path.chmod((fresh / CARD).stat().st_mode)
    return read_bundle(target)


def check_target(target: Path, sources: Iterable[Run], overwrite: bool) -> None:
    """UserError unless an export may be written to `target`."""
    for run in sources:
        ours, theirs = run.folder.resolve(), target.resolve()
        if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
            raise UserError(f"to={target}: lies in the run {run.folder}, or holds it; name another")
    if target.exists() and not target.is_dir():
        raise UserError(f"to={target}: a file is there; name a folder")
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not is_export(target):
        raise UserError(f"to={target}: the folder is not empty, and no export; name another")
    if not overwrite:
        raise UserError(f"to={target}: an export is there; add overwrite=true, or name another")


def _write_member(run: Run, loaded: LoadedModel, folder: Path) -> None:
    """One modality's model."""
    folder.mkdir(parents=True)
    checkpoint = loaded.checkpoint.folder if loaded.checkpoint else None
    write_weights(loaded.module, checkpoint, loaded.labels, folder, loaded.remade)
    OmegaConf.save(OmegaConf.create(portable(run)), folder / "config.yaml")
    shutil.copyfile(run.folder / "result.json", folder / "result.json")
    counts = dict(zip(loaded.labels, loaded.train_counts_C.tolist(), strict=True))
    member = {"checkpoint": run.result.checkpoint, "train_counts": counts}
    (folder / MEMBER).write_text(json_text(member), encoding="utf-8")


def portable(run: Run) -> dict[str, Any]:
    """A run's config without paths: each absolute path is reduced to its last part."""
    kept = settings(run.config)
    media = OmegaConf.to_container(run.config.media, resolve=True)
    return _without_paths({**kept, "media": media})


def _without_paths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_paths(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_paths(one) for one in value]
    is_path = isinstance(value, str) and Path(value).is_absolute()
    return Path(value).name if is_path else value


def _write_fusion(run: Run, folder: Path) -> None:
    """The fitted fusion, or the temperature that calibrates a single run on val."""
    if not run.config.get("fusion"):
        (folder / CALIBRATION).mkdir()
        save_fusion(calibrated_run(run), folder / CALIBRATION)
        return
    (folder / FUSION).mkdir()
    for name in (DESCRIPTION, ARRAYS):
        shutil.copyfile(run.folder / name, folder / FUSION / name)
    load_fusion(folder / FUSION)

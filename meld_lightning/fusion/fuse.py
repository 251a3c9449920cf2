"""The fusion run that a config describes: found if it is finished, else fitted by fit.py.

Writes runs/fusion-<name>/<hash>/. Used by the commands `fuse`, `reproduce` and `report`.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from meld_lightning.config import check as config
from meld_lightning.errors import UserError, near_miss
from meld_lightning.runs.result import check_monitor
from meld_lightning.runs.run import Identity, Run, claimed, find_run, hashed_config, load_run
from meld_lightning.storage.atomic import writing
from meld_lightning.storage.fingerprint import digest_of


def fuse(cfg: DictConfig) -> Run:
    """The fusion run that `cfg` (conf/fuse.yaml, composed) describes: read if it is finished, else
    fitted."""
    config.check(cfg, config.Fuse)
    check_monitor(cfg.monitor)
    runs = named_runs(cfg)
    identity = identify_fusion(cfg, runs)
    if run := find_run(identity):
        return run
    with claimed(identity.folder):
        if run := find_run(identity):
            return run
        try:
            with writing(identity.folder):
                from meld_lightning.fusion.fit import fit_fusion

                OmegaConf.save(cfg, identity.folder / "config.yaml", resolve=True)
                fit_fusion(cfg, identity, runs)
        except UserError:
            shutil.rmtree(identity.folder)
            raise
    return load_run(identity.folder)


def named_runs(cfg: DictConfig) -> dict[str, Run]:
    """modality -> the run that cfg.runs names for it, those of cfg.modalities alone where that is
    given."""
    given = {str(name): folder for name, folder in cfg.runs.items() if folder is not None}
    wanted = list(given) if cfg.modalities is None else [str(name) for name in cfg.modalities]
    for name in wanted:
        if name not in given:
            raise UserError(
                f"modalities names {name}, but no run: give it as"
                f" runs.{name}=FOLDER{near_miss(name, given)}"
            )
    if not wanted:
        raise UserError(
            "no run to fuse: give some as runs.text=FOLDER runs.audio=FOLDER runs.video=FOLDER"
        )
    runs = {name: load_run(str(given[name])) for name in wanted}
    listed = OmegaConf.load(config.conf_dir() / "fuse.yaml").runs
    of_runs = {run.result.get("modality") for run in runs.values()}
    for name, run in runs.items():
        modality = run.result.get("modality", name)
        if modality != name and name in {*listed, *of_runs}:
            raise UserError(
                f"runs.{name}={run.folder}: a run of {modality}, expected one of {name}"
            )
    return runs


def identify_fusion(cfg: DictConfig, runs: Mapping[str, Run]) -> Identity:
    """What the fusion is: its settings, and the hashes of the runs it builds on."""
    digests = {name: run.result["hash"] for name, run in runs.items()}
    digests["corpus"] = next(iter(runs.values())).result["digests"]["corpus"]
    kept = hashed_config(cfg)
    config_hash = digest_of(kept)
    whole = digest_of({"config": config_hash, "digests": digests})
    return Identity(
        whole,
        config_hash,
        Path(cfg.paths.runs) / f"fusion-{cfg.fusion.name}" / whole,
        digests,
        kept,
    )

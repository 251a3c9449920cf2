"""`meld-lightning export`: a run or a fusion as one folder that loads anywhere, or onto the hub."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import run_hydra
from meld_lightning.errors import UserError

if TYPE_CHECKING:
    from meld_lightning.inference.bundle import Bundle


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("export", run, arguments)


def run(cfg: DictConfig) -> None:
    """Exports the run or fusion in `from`; with `push`, uploads the export."""
    from meld_lightning.config.check import check
    from meld_lightning.config.nodes import Export
    from meld_lightning.inference.bundle import is_export, read_bundle
    from meld_lightning.inference.export.push import push

    check(cfg, Export)
    source = cfg["from"]
    if source is None:
        raise UserError("give from=FOLDER: the folder of a finished run or a fusion")
    if is_export(Path(source)):
        if cfg.to is not None or cfg.push is None:
            raise UserError(f"from={source}: an export already; copy the folder, or add push=NAME")
        bundle = read_bundle(Path(source))
    else:
        bundle = _export(cfg, Path(source))
    if cfg.push is not None:
        print(f"pushed: {push(bundle, cfg.push, private=cfg.private)}")


def _export(cfg: DictConfig, source: Path) -> "Bundle":
    from hydra.core.hydra_config import HydraConfig

    from meld_lightning.inference.export.folder import export
    from meld_lightning.report.exported import figures_of
    from meld_lightning.runs.run import load_run
    from meld_lightning.training.process import quieten

    if cfg.to is None:
        raise UserError("give to=FOLDER: the folder to write")
    quieten()
    run = load_run(source)
    given = any(one.startswith("paths.cache=") for one in HydraConfig.get().overrides.task)
    cache = Path(cfg.paths.cache) if given else None
    bundle = export(
        run,
        Path(cfg.to),
        figures_of(run, cache),
        overwrite=cfg.overwrite,
        licence=cfg.license,
        cache=cache,
    )
    size = sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file())
    print(f"{bundle.folder}: {bundle.name} of {', '.join(bundle.modalities)}, {size / 1e6:.0f} MB")
    if bundle.mini:
        print("trained on the mini corpus, or from its checkpoints: a toy, as its model card says")
    return bundle

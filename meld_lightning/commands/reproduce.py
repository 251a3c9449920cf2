"""`meld-lightning reproduce`: prepare, run what the study's tables still need, keep the evidence,
render the tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import run_hydra
from meld_lightning.errors import UserError

if TYPE_CHECKING:
    from meld_lightning.runs.run import Run
    from meld_lightning.study.plan import CellKey


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("reproduce", _reproduce, arguments)


def _reproduce(cfg: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate

    from meld_lightning.corpus import prepared_corpus
    from meld_lightning.launching.jobs import job_of, report_failures
    from meld_lightning.study.plan import keep_study, read_cells, read_fusions, render_study
    from meld_lightning.study.preparation import prepare_for_runs

    if "meld_lightning" not in HydraConfig.get().launcher._target_:
        choice = HydraConfig.get().runtime.choices["hydra/launcher"]
        raise UserError(
            f"hydra/launcher={choice}: cannot run the jobs of reproduce; choose local or slurm"
        )
    asked = HydraConfig.get().overrides.task
    cells = read_cells(cfg, asked)
    prepare_for_runs(cfg, [run.config for of_cell in cells.values() for run in of_cell])
    jobs = {
        cell: [job_of("train", one.config, one.overrides) for one in runs]
        for cell, runs in cells.items()
    }
    launcher = instantiate(HydraConfig.get().launcher)
    logs = Path(HydraConfig.get().sweep.dir)
    flat = [job for of_cell in jobs.values() for job in of_cell]
    if flat:
        launcher.run(flat, logs)
    runs = {
        cell: [job.run for job in of_cell if job.run is not None] for cell, of_cell in jobs.items()
    }
    fusions = read_fusions(cfg, asked, runs)
    fused, failures = fuse_all(fusions)
    runs |= fused
    done = not failures and all(job.run is not None for job in flat)
    whole = done and set(cfg.tables) >= set(cfg.study.tables)
    keep_study(cfg, runs, prepared_corpus(cfg.corpus, Path(cfg.paths.cache)).report, whole)
    render_study(cfg, runs, cells)
    report_failures(flat)
    if failures:
        raise UserError("\n".join([f"{len(failures)} fusions failed:", *failures]))


def fuse_all(
    fusions: "Mapping[CellKey, Sequence[DictConfig]]",
) -> "tuple[dict[CellKey, list[Run]], list[str]]":
    """Every fusion, here and one after another (they take seconds), and a line for each that
    failed."""
    from meld_lightning.fusion.fuse import fuse
    from meld_lightning.training.process import quieten

    quieten()
    found: dict[CellKey, list[Run]] = {}
    failures = []
    for (table, cell), configs in fusions.items():
        for config in configs:
            try:
                found.setdefault((table, cell), []).append(fuse(config))
            except UserError as error:
                failures.append(f"  {table} {cell}, seed {config.seed}: {error}")
    return found, failures

"""`meld-lightning reproduce`: prepare, run what the study's tables still need, keep the evidence, render the tables."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from meld_lightning.commands import run_hydra
from meld_lightning.errors import UserError


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("reproduce", _reproduce, arguments)


def _reproduce(cfg: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate

    from meld_lightning.commands.prepare import prepare
    from meld_lightning.corpus import prepared_corpus
    from meld_lightning.launching import job_of, report_failures
    from meld_lightning.report.study import keep_study, read_cells, render_study

    if "meld_lightning" not in HydraConfig.get().launcher._target_:
        choice = HydraConfig.get().runtime.choices["hydra/launcher"]
        raise UserError(f"hydra/launcher={choice}: cannot run the jobs of reproduce; choose hydra/launcher=local")
    cells = read_cells(cfg, HydraConfig.get().overrides.task)
    prepare(cfg)
    jobs = {cell: [job_of(one.config, one.overrides) for one in runs] for cell, runs in cells.items()}
    launcher = instantiate(HydraConfig.get().launcher)
    logs = Path(HydraConfig.get().sweep.dir)
    flat = [job for of_cell in jobs.values() for job in of_cell]
    if flat:
        launcher.run(flat, logs)
    runs = {cell: [job.run for job in of_cell if job.run is not None] for cell, of_cell in jobs.items()}
    whole = all(job.run is not None for job in flat) and set(cfg.tables) >= set(cfg.study.tables)
    keep_study(cfg, runs, prepared_corpus(cfg.corpus, Path(cfg.paths.cache)).report, whole)
    render_study(cfg, runs)
    report_failures(flat, logs)

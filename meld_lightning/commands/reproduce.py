"""`meld-lightning reproduce`: prepares, runs what the study's tables still need, keeps the evidence
and renders the tables and the page."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import run_hydra
from meld_lightning.errors import UserError

if TYPE_CHECKING:
    from meld_lightning.runs.run import Run
    from meld_lightning.study.plan import Plans
    from meld_lightning.study.spec import RowKey

    Runs = Mapping[RowKey, Sequence[Run]]

logger = logging.getLogger(__name__)

LAUNCHERS = ("local", "slurm")  # those whose jobs leave runs, in hydra_plugins/


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("reproduce", _reproduce, arguments)


def _reproduce(cfg: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate

    from meld_lightning.config.tree import plain
    from meld_lightning.config.words import counted
    from meld_lightning.launching.fusions import fuse_all
    from meld_lightning.launching.jobs import training_jobs
    from meld_lightning.launching.sweep import report_failures
    from meld_lightning.report.notes import check_notes
    from meld_lightning.study.kinds import read_tables
    from meld_lightning.study.plan import Plans, plan_fusions, plan_runs
    from meld_lightning.study.preparation import prepare_for_runs
    from meld_lightning.study.warm_starts import in_waves, resolve_warm_starts

    choice = HydraConfig.get().runtime.choices["hydra/launcher"]
    if choice not in LAUNCHERS:
        raise UserError(
            f"hydra/launcher={choice}: cannot run the jobs of reproduce; choose"
            f" {' or '.join(LAUNCHERS)}"
        )
    asked = HydraConfig.get().overrides.task
    planned = plan_runs(cfg, asked)
    check_notes(read_tables(plain(cfg.table)))
    prepare_for_runs(cfg, [run.config for of_row in planned.values() for run in of_row])
    waves = in_waves(planned)
    resolve_warm_starts(planned, waves)
    jobs = training_jobs(planned)
    launcher = instantiate(HydraConfig.get().launcher)
    logs = Path(HydraConfig.get().sweep.dir)
    flat = [job for of_row in jobs.values() for job in of_row]
    for number, rows in enumerate(waves):
        own_logs = logs / f"wave_{number + 1}" if number else logs
        launcher.run([job for row in rows for job in jobs[row]], own_logs)
    runs = {row: [job.run for job in of_row if job.run is not None] for row, of_row in jobs.items()}
    fusions = plan_fusions(cfg, asked, runs)
    fused, failures = fuse_all(fusions, runs)
    runs |= fused
    done = not failures and all(job.run is not None for job in flat)
    _render(cfg, asked, Plans(planned, fusions), runs, done)
    report_failures(flat)
    if failures:
        raise UserError(f"{counted(len(failures), 'fusion')} failed:", failures)


def _render(
    cfg: DictConfig, asked: Sequence[str], plans: "Plans", runs: "Runs", done: bool
) -> None:
    """Keeps the evidence and renders the tables and the page, unless they stand already.

    done: no run and no fusion has failed.
    """
    from meld_lightning.page.up_to_date import rendering

    rendered = rendering(cfg, asked, plans, runs)
    if done and rendered.is_up_to_date():
        logger.info("up to date: the tables in %s, the page in %s", *rendered.folders)
        return
    from meld_lightning.corpus import prepared_corpus
    from meld_lightning.page.make import make_page
    from meld_lightning.report.render import render_study
    from meld_lightning.study.evidence import keep_study

    corpus = prepared_corpus(cfg.corpus, Path(cfg.paths.cache))
    complete = done and set(cfg.tables) >= set(cfg.study.tables)
    keep_study(cfg, runs, corpus.report, complete)
    material, results = render_study(cfg, runs, plans.runs)
    make_page(cfg, asked, plans, material, results)
    rendered.keep()

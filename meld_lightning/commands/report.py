"""`meld-lightning report`: renders the tables and the page from the runs that exist here, or else
from the evidence in experiments/."""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

from omegaconf import DictConfig, OmegaConf

from meld_lightning.commands.hydra_app import run_hydra
from meld_lightning.errors import UserError

NO_ROOT = "not given"


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("report", _report, arguments)


def _report(cfg: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    asked = list(HydraConfig.get().overrides.task)
    if not cfg.serve:
        _render(cfg, asked)
        return
    from meld_lightning.page.serve import serve

    with suppress(KeyboardInterrupt):
        serve(lambda: _render(cfg, asked), Path(cfg.paths.runs), cfg.port, Event())


def _render(cfg: DictConfig, words: Sequence[str]) -> Path:
    """Writes tables and page, and returns the page's path. words: the command's own overrides."""
    from meld_lightning.config.nodes import Report
    from meld_lightning.page.make import make_page
    from meld_lightning.report.render import render_study
    from meld_lightning.study.evidence import find_fusions, find_runs, study_folder
    from meld_lightning.study.plan import Plans, plan_fusions, plan_runs
    from meld_lightning.study.warm_starts import in_waves, resolve_warm_starts

    asked = [word for word in words if not word.startswith(("serve=", "port="))]
    remedy = shlex.join(["meld-lightning", "reproduce", *asked])
    if OmegaConf.is_missing(cfg.corpus, "root"):  # evidence is enough for a report
        cfg.corpus.root = NO_ROOT
    if cfg.corpus.root == NO_ROOT:
        asked.append(f"corpus.root='{NO_ROOT}'")
    planned = plan_runs(cfg, asked, Report)
    resolve_warm_starts(planned, in_waves(planned))
    runs = find_runs(cfg, planned)
    if planned and not any(runs.values()):
        others = len(list(Path(cfg.paths.runs).glob("*/*/result.json")))
        found = f"none of the {others} finished runs" if others else "no finished run"
        theirs = (
            "; a row asks for the settings of its table, the study's corpus, checkpoints and seeds"
            if others
            else ""
        )
        raise UserError(
            f"study {cfg.study.name}: nothing to report: {found} in {cfg.paths.runs}/ is one of its"
            f" tables', and there is no evidence of one in {study_folder(cfg)}/{theirs}; run:"
            f" {remedy} (or run this in the folder that has them)"
        )
    plans = Plans(planned, plan_fusions(cfg, asked, runs))
    fusions = find_fusions(cfg, plans.fusions)
    material, results = render_study(cfg, {**runs, **fusions}, planned)
    return make_page(cfg, asked, plans, material, results)

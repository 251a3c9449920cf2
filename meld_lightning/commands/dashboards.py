"""`meld-lightning dashboards`: a saved view and a report in W&B for each watched sweep; without a
key, as JSON."""

import os
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from meld_lightning.commands.hydra_app import run_hydra
from meld_lightning.errors import UserError, near_miss


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_hydra("dashboards", _dashboards, arguments)


def _dashboards(cfg: DictConfig) -> None:
    from meld_lightning.config.check import Dashboards, check
    from meld_lightning.metrics import check_monitor
    from meld_lightning.tracking.loggers import need, wandb_online

    check(cfg, Dashboards)
    check_monitor(cfg.monitor)
    if "project" not in cfg.logger:
        raise UserError(
            "logger: dashboards are made of W&B runs alone; leave logger=wandb as it is"
        )
    need("wandb", "wandb")
    need("wandb_workspaces", "wandb")
    online = wandb_online()  # before W&B is imported

    from meld_lightning.tracking.dashboards import dashboard, rendered_tables, write_dashboards
    from meld_lightning.tracking.wandb_offline import WatchedRun, read_runs

    by_group: dict[str, list[WatchedRun]] = {}
    for run in read_runs(Path(cfg.paths.runs)):
        if run.group and run.project == cfg.logger.project:
            by_group.setdefault(run.group, []).append(run)
    wanted = [cfg.logger.group] if cfg.logger.group else list(by_group)
    for group in wanted:
        if group not in by_group:
            raise UserError(
                f"{cfg.paths.runs}: no watched run of group '{group}'{near_miss(group, by_group)}"
            )
    if not wanted:
        raise UserError(
            f"{cfg.paths.runs}: no sweep of project {cfg.logger.project} was watched there; "
            "run one with logger=wandb, such as: make sweep ARGS=logger=wandb"
        )
    study = Path(cfg.paths.experiments) / cfg.study.name
    entity = _entity(online)
    made = [
        dashboard(group, by_group[group], cfg.monitor, rendered_tables(study), entity)
        for group in wanted
    ]
    for one in made:
        print(f"{one.group}: {one.runs} runs, swept: {', '.join(one.swept) or 'nothing'}")
        if online:
            print("saved: " + ", ".join(one.save()))
    if not online:
        files = write_dashboards(made, study / "dashboards")
        print(
            "W&B is not logged in to: no view and no report is saved; what would have been sent: ",
            end="",
        )
        print(", ".join(map(str, files)))
        print(
            f"to send: wandb login; wandb sync {cfg.paths.runs}/*/*/wandb/offline-run-*; then this"
            " command again"
        )


def _entity(online: bool) -> str:
    """Whose project it is: WANDB_ENTITY, else the account's own, known once logged in."""
    if named := os.environ.get("WANDB_ENTITY"):
        return named
    if not online:
        return "not-logged-in"
    import wandb

    return str(wandb.Api().default_entity)

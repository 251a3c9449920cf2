"""`meld-lightning dashboards`: a saved view and a report in W&B for each sweep that was logged
there; without a W&B key, as JSON."""

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
    from meld_lightning.config.check import check
    from meld_lightning.config.nodes import Dashboards
    from meld_lightning.metrics import check_monitor
    from meld_lightning.tracking.loggers import need
    from meld_lightning.tracking.wandb_logger import wandb_online

    check(cfg, Dashboards)
    check_monitor(cfg.monitor)
    if "project" not in cfg.logger:
        raise UserError("logger: dashboards show W&B runs only; leave logger=wandb as it is")
    need("wandb", "wandb")
    need("wandb_workspaces", "wandb")
    online = wandb_online()  # before W&B is imported

    from meld_lightning.tracking.dashboards import dashboard, write_dashboards

    study, entity = Path(cfg.paths.experiments) / cfg.study.name, _entity(online)
    made = [
        dashboard(group, folders, cfg.logger.project, cfg.monitor, entity)
        for group, folders in _wanted(cfg).items()
    ]
    for each in made:
        print(f"{each.group}: {each.runs} runs, swept: {', '.join(each.swept) or 'nothing'}")
        if online:
            print("saved: " + ", ".join(each.save()))
    if not online:
        files = write_dashboards(made, study / "dashboards")
        print("not logged in to W&B: no view and no report was saved; they were written as JSON:")
        print(*files, sep="\n")
        print(
            f"to save them: wandb login; wandb sync {cfg.paths.runs}/*/*/wandb/offline-run-*; then"
            " this command again"
        )


def _wanted(cfg: DictConfig) -> dict[str, list[Path]]:
    """Group -> run folders, for cfg.logger.group or else for every group of the project."""
    from meld_lightning.tracking.tracked import tracked_runs

    by_group: dict[str, list[Path]] = {}
    for folder, tracked in tracked_runs(Path(cfg.paths.runs)).items():
        if tracked.group and tracked.project == cfg.logger.project:
            by_group.setdefault(tracked.group, []).append(folder)
    group = cfg.logger.group
    if group and group not in by_group:
        raise UserError(
            f"{cfg.paths.runs}: no run of group '{group}' was logged to W&B"
            f"{near_miss(group, by_group)}"
        )
    if not by_group:
        raise UserError(
            f"{cfg.paths.runs}: no sweep was logged to W&B's project {cfg.logger.project}; run one"
            " with logger=wandb, such as: make sweep ARGS=logger=wandb"
        )
    return {group: by_group[group]} if group else by_group


def _entity(online: bool) -> str:
    """The owner of the project: WANDB_ENTITY, or the account that is logged in."""
    if named := os.environ.get("WANDB_ENTITY"):
        return named
    if not online:
        return "not-logged-in"
    import wandb

    return str(wandb.Api().default_entity)

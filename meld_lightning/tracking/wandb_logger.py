"""Lightning's W&B logger for one run, sent at once where W&B can be reached, else kept offline.

Writes RUN/wandb, and RUN/tracking.json through `tracking.tracked`. conf/logger/wandb.yaml names
`wandb_loggers`; the command `dashboards` asks whether W&B can be reached.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from meld_lightning.errors import UserError, first_line
from meld_lightning.runs.identity import Identity, class_value
from meld_lightning.runs.provenance import git_commit
from meld_lightning.tracking.loggers import Loggers, need
from meld_lightning.tracking.tracked import settings_of, track

if TYPE_CHECKING:
    import wandb

logger = logging.getLogger(__name__)

# the variables that move W&B's own folders, and where these are without them
USUAL_FOLDERS = {
    "WANDB_CONFIG_DIR": "~/.config/wandb",
    "WANDB_CACHE_DIR": "~/.cache/wandb",
    "WANDB_DATA_DIR": "~/.local/share/wandb",
}
STEP = "trainer/global_step"  # WandbLogger's name for it


def wandb_loggers(
    project: str = "meld_lightning",
    group: str | None = None,
    *,
    cfg: DictConfig,
    identity: Identity,
) -> Loggers:
    """Weights & Biases, offline without a key; nothing where WANDB_MODE=disabled.

    UserError if there is a key and W&B refuses it, or if W&B cannot start here.

    Args:
        project: the W&B project.
        group: the W&B group; null: the name of the sweep, or of the study in `reproduce`.
    """
    if os.environ.get("WANDB_MODE") == "disabled":
        logger.info("WANDB_MODE=disabled: W&B logs nothing of this run")
        return []
    need("wandb", "wandb")
    online = wandb_online()
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    kind = identity.folder.parent.name
    tracked = track(identity.folder, f"{kind}-{identity.hash}", project, group)
    if not online:
        logger.info(
            "not logged in to W&B: nothing is sent; to send it later: wandb sync"
            " %s/wandb/offline-run-*",
            identity.folder,
        )
    # here rather than by WandbLogger, with which W&B would warn of an argument that it passes
    try:
        run = wandb.init(
            project=project,
            group=group,
            name=tracked.name,
            id=tracked.id,
            resume="allow",
            dir=identity.folder,
            job_type=kind,
            tags=[cfg.study.name, class_value(cfg.data, "modality"), cfg.model.name],
            config=settings_of(cfg) | _source(identity),
            mode="online" if online else "offline",
            settings=_settings(online),
        )
    except (wandb.Error, OSError) as error:
        raise _cannot_start(error) from error
    run.define_metric(STEP)
    run.define_metric("*", step_metric=STEP, step_sync=True)
    return [WandbLogger(experiment=run, project=project, save_dir=identity.folder)]


def wandb_online() -> bool:
    """Whether to send to W&B: a key is known, WANDB_MODE does not say otherwise, and W&B answers
    (a node of a cluster often has the key and no network).

    Raises UserError if W&B refuses the key or cannot start.
    """
    give_writable_folders()
    mode = os.environ.get("WANDB_MODE", "online")
    if mode != "online":
        return False
    # read when wandb is imported: it sends no error reports of its own
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    try:
        if wandb.setup().settings.mode != "online":  # `wandb offline` was run here
            return False
        return bool(wandb.login(prompt=False))
    except wandb.errors.AuthenticationError as error:
        reason = first_line(error)
        raise UserError(
            f"W&B: {reason}; set WANDB_MODE=offline to log here and send it later"
        ) from error
    except wandb.Error as error:
        logger.info("W&B cannot be reached: %s", first_line(error))
        return False
    except OSError as error:
        raise _cannot_start(error) from error


def give_writable_folders() -> None:
    """Gives W&B folders of its own in the temporary folder where it cannot write its usual ones: a
    container's user often has no home. Call it before wandb is imported."""
    own = Path(tempfile.gettempdir()) / f"wandb-{os.getuid()}"
    for name, usual in USUAL_FOLDERS.items():
        if name not in os.environ and not _can_be_written(usual):
            folder = own / name.removeprefix("WANDB_").lower()
            folder.mkdir(parents=True, exist_ok=True)
            os.environ[name] = str(folder)


def _can_be_written(folder: str) -> bool:
    """Whether the folder, or the nearest one above it that exists, can be written to."""
    path = Path(os.path.expanduser(folder))  # noqa: PTH111 -- Path.expanduser raises without a home
    nearest = next(each for each in (path, *path.absolute().parents) if each.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK)


def _cannot_start(error: Exception) -> UserError:
    return UserError(
        f"logger=wandb: W&B cannot start here: {first_line(error)}; set WANDB_CONFIG_DIR,"
        " WANDB_CACHE_DIR and WANDB_DATA_DIR to folders that can be written, or WANDB_MODE=disabled"
    )


def _settings(online: bool) -> wandb.Settings:
    import wandb

    commit, _ = git_commit()
    return wandb.Settings(
        x_transaction_log_flush_interval=1,  # a killed run would lose the last of 15 s, the default
        console="off",
        silent=not online,
        # it would look at the folder that the user stands in, and copy what changed there
        disable_git=True,
        git_commit=commit,
    )


def _source(identity: Identity) -> dict[str, object]:
    commit, dirty = git_commit()
    return {"hash": identity.hash, "commit": commit, "dirty": dirty}

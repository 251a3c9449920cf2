"""hydra/launcher=local: runs the jobs of a sweep on this machine, one process each; reads finished
runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore

from hydra_plugins.meld_lightning_launchers.sweep import SweepLauncher

if TYPE_CHECKING:
    from meld_lightning.launching.jobs import Job


@dataclass
class LocalLauncherConf:
    """The launcher's options."""

    _target_: str = "hydra_plugins.meld_lightning_launchers.local.LocalLauncher"
    jobs: int = 0


ConfigStore.instance().store(
    group="hydra/launcher", name="local", node=LocalLauncherConf, provider="meld_lightning"
)


class LocalLauncher(SweepLauncher):
    """Passes the jobs to meld_lightning.launching.local.

    Args:
        jobs: jobs that run at a time; 0: one per GPU, or without GPUs one per core, at most four.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def run(self, jobs: "Sequence[Job]", logs: Path) -> None:
        from meld_lightning.launching.local import run_here

        run_here(jobs, self.jobs, logs)

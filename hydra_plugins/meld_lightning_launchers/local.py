"""hydra/launcher=local: the jobs of a sweep on this machine, a process each. Finished runs are
read, not run."""

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
    """jobs: how many run at once; 0 is one for each GPU, or without any for each core, four at the
    most."""

    _target_: str = "hydra_plugins.meld_lightning_launchers.local.LocalLauncher"
    jobs: int = 0


ConfigStore.instance().store(
    group="hydra/launcher", name="local", node=LocalLauncherConf, provider="meld_lightning"
)


class LocalLauncher(SweepLauncher):
    """Hands the jobs to meld_lightning.launching.local."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def run(self, jobs: "Sequence[Job]", logs: Path) -> None:
        from meld_lightning.launching.local import room, run_here

        run_here(jobs, self.jobs or room(jobs), logs)

"""hydra/launcher=slurm: runs the jobs of a sweep as an array of Slurm jobs; reads finished runs and
attaches to running ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore

from hydra_plugins.meld_lightning_launchers.sweep import SweepLauncher
from meld_lightning.launching.resources import Resources

if TYPE_CHECKING:
    from meld_lightning.launching.jobs import Job


@dataclass
class SlurmLauncherConf(Resources):
    """The launcher's options."""

    _target_: str = "hydra_plugins.meld_lightning_launchers.slurm.SlurmLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="slurm", node=SlurmLauncherConf, provider="meld_lightning"
)


class SlurmLauncher(SweepLauncher):
    """Passes the jobs to meld_lightning.launching.slurm."""

    options_of = "meld_lightning.launching.resources.Resources"

    def __init__(self, **options: Any) -> None:
        self.resources = Resources(**options)

    def run(self, jobs: "Sequence[Job]", logs: Path) -> None:
        from meld_lightning.errors import UserError

        try:
            from meld_lightning.launching.slurm import run_on_slurm
        except ModuleNotFoundError as error:
            raise UserError(
                f"hydra/launcher=slurm: {error.name} is not installed; pip install"
                " 'meld-lightning[slurm]'"
            ) from error
        run_on_slurm(jobs, self.resources, logs)

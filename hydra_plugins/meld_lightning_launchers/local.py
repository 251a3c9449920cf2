"""hydra/launcher=local: the jobs of a sweep on this machine, a process each. Finished runs are read, not run.

Hydra imports this file at every start: nothing heavy stands at its top.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

if TYPE_CHECKING:
    from meld_lightning.launching import Job


@dataclass
class LocalLauncherConf:
    """jobs: how many run at once; 0 is one for each GPU, or without any for each core, four at the most."""

    _target_: str = "hydra_plugins.meld_lightning_launchers.local.LocalLauncher"
    jobs: int = 0


ConfigStore.instance().store(group="hydra/launcher", name="local", node=LocalLauncherConf, provider="meld_lightning")


class LocalLauncher(Launcher):
    """Hands Hydra's jobs to meld_lightning.launching and their monitored values back to Hydra."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from meld_lightning.launching import job_of, report_failures

        setup_globals()
        jobs = [job_of(self._composed(overrides), filter_overrides(overrides)) for overrides in job_overrides]
        logs = Path(str(self.config.hydra.sweep.dir))
        self.run(jobs, logs)
        report_failures(jobs, logs)
        print(f"logs and summary: {logs}")
        return [_returned(job) for job in jobs]

    def run(self, jobs: "Sequence[Job]", logs: Path) -> None:
        """Runs the jobs; a failed one is told by its status. What `reproduce` calls of a launcher."""
        from meld_lightning.launching import room, run_jobs

        run_jobs(jobs, self.jobs or room(jobs), logs)

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        from meld_lightning.watching import grouped, sweep_group

        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            del config["hydra"]
        return grouped(config, sweep_group(self.config.hydra.overrides.task))


def _returned(job: "Job") -> JobReturn:
    assert job.run is not None
    result = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
    result.return_value = job.run.result["best"]["value"]
    return result

"""What our Hydra launchers share: turns Hydra's sweep into jobs, and their runs into Hydra's
results.

Hydra imports this file whenever it starts: nothing heavy is imported at its top.
"""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn, JobStatus, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

if TYPE_CHECKING:
    from meld_lightning.launching.jobs import Job


class SweepLauncher(Launcher):
    """A launcher that reads finished runs, and in which a job that fails affects no other.

    options_of: the class that takes the launcher's options, where its constructor only passes them
        on; --help lists its parameters.
    """

    options_of: str | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config

    @abstractmethod
    def run(self, jobs: "Sequence[Job]", logs: Path) -> None:
        """Runs the jobs and sets their status, `failed` for those that failed. `reproduce` calls
        this, too."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from meld_lightning.launching.jobs import job_of
        from meld_lightning.launching.sweep import report_best, report_failures

        setup_globals()
        command = str(self.config.hydra.job.config_name)
        jobs = [
            job_of(command, self._composed(overrides), filter_overrides(overrides))
            for overrides in job_overrides
        ]
        logs = Path(str(self.config.hydra.sweep.dir))
        self.run(jobs, logs)
        report_best(jobs, logs)
        report_failures(jobs)
        return [_returned(job) for job in jobs]

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        from meld_lightning.tracking.loggers import grouped, sweep_group

        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            del config["hydra"]
        return grouped(config, sweep_group(self.config.hydra.overrides.task))


def _returned(job: "Job") -> JobReturn:
    result = JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED)
    result.return_value = job.run.result.best["value"] if job.run else None
    return result

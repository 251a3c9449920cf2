"""The options of hydra/launcher=slurm: what a job asks of the cluster, and their checks.

Imports nothing heavy: Hydra reads this file whenever it starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from meld_lightning.errors import UserError

MINIMUM = {
    "nodes": 1,
    "gpus": 0,
    "cpus": 1,
    "memory_gb": 0.1,
    "minutes": 1,
    "grace_s": 0,
    "at_once": 1,
}
SET_BY_THE_LAUNCHER = (
    "--array",
    "--output",
    "--error",
    "--signal",
    "--open-mode",
    "--ntasks",
    "--ntasks-per-node",
    "--wrap",
)


@dataclass
class Resources:
    """What a job asks for. A job has numerics.world_size processes, one by default.

    Args:
        partition: where the jobs go; null: the cluster's default.
        account: who is charged; null: the cluster's default.
        nodes: nodes per job; its processes are distributed evenly over them.
        gpus: GPUs per process; 0: none.
        cpus: cores per process.
        memory_gb: memory per process.
        minutes: time limit; a job that reaches it saves, is requeued and resumes.
        grace_s: seconds before the time limit at which a job is asked to save. (Before a
            preemption it has the partition's GraceTime.)
        at_once: jobs of the sweep that may run at the same time.
        setup: lines of shell to run before a job starts, such as ['module load cuda'].
        sbatch: further options of sbatch, such as ['--constraint=a100','--exclusive'].
    """

    partition: str | None = None
    account: str | None = None
    nodes: int = 1
    gpus: int = 1
    cpus: int = 4
    memory_gb: float = 16.0
    minutes: int = 240
    grace_s: int = 120
    at_once: int = 16
    setup: list[str] = field(default_factory=list)
    sbatch: list[str] = field(default_factory=list)


def check_resources(resources: Resources, world_size: int) -> None:
    """UserError for what Slurm cannot be asked for."""
    sbatch_options(resources.sbatch)
    for name, minimum in MINIMUM.items():
        if getattr(resources, name) < minimum:
            raise UserError(
                f"hydra.launcher.{name}={getattr(resources, name)}: expected at least {minimum}"
            )
    if resources.grace_s >= 60 * resources.minutes:
        raise UserError(
            f"hydra.launcher.grace_s={resources.grace_s}: expected less than the time limit of"
            f" {resources.minutes} minutes"
        )
    if world_size % resources.nodes:
        raise UserError(
            f"hydra.launcher.nodes={resources.nodes}: cannot distribute numerics.world_size="
            f"{world_size} processes evenly over that many nodes"
        )


def sbatch_options(options: Sequence[str]) -> dict[str, str | bool]:
    """['--qos=long', '--exclusive'] as submitit takes them."""
    found: dict[str, str | bool] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not name.startswith("--"):
            raise UserError(
                f"hydra.launcher.sbatch: {option!r} is not an option of sbatch; expected"
                " '--name=value'"
            )
        if name in SET_BY_THE_LAUNCHER:
            raise UserError(
                f"hydra.launcher.sbatch: {name} is set by the launcher itself; leave it out"
            )
        found[name.removeprefix("--").replace("-", "_")] = value if equals else True
    return found

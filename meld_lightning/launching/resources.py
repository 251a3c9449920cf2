"""What a Slurm job asks of the cluster. Imports nothing heavy: Hydra reads it at every start."""

from dataclasses import dataclass, field


@dataclass
class Resources:
    """The options of hydra/launcher=slurm. A job is one process, or with numerics.world_size one a
    device."""

    partition: str | None = None
    account: str | None = None
    nodes: int = 1  # of a job: its processes are shared out evenly over them
    gpus: int = 1  # of a process; 0: none
    cpus: int = 4  # of a process
    memory_gb: float = 16.0  # of a process
    minutes: int = 240  # time limit; a job that reaches it saves, is queued again and goes on
    # how long before the limit a job is told; before a preemption, the partition's GraceTime says
    grace_s: int = 120
    at_once: int = 16  # jobs of the array that may run at the same time
    setup: list[str] = field(
        default_factory=list
    )  # lines of shell before a job starts: ['module load cuda']
    sbatch: list[str] = field(
        default_factory=list
    )  # further options of sbatch: ['--constraint=a100','--exclusive']


LEAST = {
    "nodes": 1,
    "gpus": 0,
    "cpus": 1,
    "memory_gb": 0.1,
    "minutes": 1,
    "grace_s": 0,
    "at_once": 1,
}

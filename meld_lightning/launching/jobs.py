"""Jobs: what a launcher runs, each one command with one composed config.

Used by both launchers, by `launching.sweep`, by our Hydra launchers and by `reproduce`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig

from meld_lightning.config.check import check
from meld_lightning.config.nodes import Prepare
from meld_lightning.config.tree import plain
from meld_lightning.config.words import setting
from meld_lightning.runs.identity import Identity
from meld_lightning.runs.lifecycle import RunRequest
from meld_lightning.runs.run import Run, find_run
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.study.plan import PlannedRun
from meld_lightning.study.spec import RowKey

# lines that Slurm adds to a job's log, except those that say how a process died
SLURM_LINE = re.compile(r"(?!srun: error: .*(Killed|Aborted|Segmentation))(srun|slurmstepd)[-:]")
FRACTION = re.compile(r"-?(\d+\.\d*|\.\d+|\d+(?=e))(e[-+]?\d+)?", re.IGNORECASE)


@dataclass
class Job:
    """One job of a sweep: its command and config, and its outcome."""

    command: str  # train, fuse or prepare
    overrides: list[str]
    config: DictConfig
    identity: Identity | None  # None for `prepare`, which leaves no run
    name: str  # the run's hash
    rerun: bool = False  # a finished run is made again
    status: str = "waiting"  # then running; at last finished, read, failed or stopped
    reason: str = ""
    wall_s: float = 0.0
    log: Path | None = None
    resumed: bool = False  # whether an unfinished run goes on from its last checkpoint
    found: Run | None = None  # the finished run, once it has been read
    old_result: tuple[int, int] | None = field(default=None, init=False)  # see `set_result_aside`

    def __post_init__(self) -> None:
        self.set_result_aside()

    @property
    def title(self) -> str:
        """The job's overrides as people write them: Hydra hands on 1e-4 as 0.0001."""
        return " ".join(_as_written(override) for override in self.overrides)

    @property
    def run(self) -> Run | None:
        """The finished run; None as long as there is none, or only the one that is made again. Its
        files are read once."""
        if self.found is None and self.identity and not self._is_old():
            self.found = find_run(self.identity)
        return self.found

    def set_result_aside(self) -> None:
        """With rerun=true, makes `run` ignore the result that is there now. Called before the job
        starts: until its process empties the folder, the old run looks finished."""
        self.old_result = self._result_stamp() if self.rerun else None

    def _is_old(self) -> bool:
        return self.old_result is not None and self.old_result == self._result_stamp()

    def _result_stamp(self) -> tuple[int, int] | None:
        """What differs between two files that were written as result.json; None without one."""
        path = self.identity.folder / "result.json" if self.identity else None
        if path is None or not path.is_file():
            return None
        stat = path.stat()
        return stat.st_mtime_ns, stat.st_ino


def job_of(command: str, cfg: DictConfig, overrides: Sequence[str]) -> Job:
    """A job from its composed config; raises UserError before anything starts if the config is
    wrong."""
    if command == "prepare":
        check(cfg, Prepare)
        return Job(command, list(overrides), cfg, None, digest_of(plain(cfg)))
    request = request_of(command, cfg)
    found = request.find_or_check()
    identity = request.identity
    return Job(command, list(overrides), cfg, identity, identity.hash, cfg.rerun, found=found)


def training_jobs(planned: Mapping[RowKey, Sequence[PlannedRun]]) -> dict[RowKey, list[Job]]:
    """A job for each training that a study's tables need."""
    from meld_lightning.runs.inputs import inputs_read_once  # imports pandas

    with inputs_read_once():
        return {
            row: [job_of("train", run.config, run.overrides) for run in runs]
            for row, runs in planned.items()
        }


def request_of(command: str, cfg: DictConfig) -> RunRequest:
    """The run that `train` or `fuse` is asked for."""
    if command == "train":
        from meld_lightning.training.train import training_request

        return training_request(cfg)
    from meld_lightning.fusion.fuse import Fusing

    return Fusing(cfg)


def _as_written(override: str) -> str:
    key, _, value = override.partition("=")
    return f"{key}={setting(float(value))}" if FRACTION.fullmatch(value) else override


def last_line(log: Path) -> str:
    """The last line of a job's log that Slurm did not add; empty without one."""
    if not log.is_file():
        return ""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    own = [line for line in lines if not SLURM_LINE.match(line)]
    return own[-1].removeprefix("meld-lightning: ").strip() if own else ""

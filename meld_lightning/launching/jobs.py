"""What both launchers share: the jobs of a sweep, which of them are to do, what became of each, and
how that is told.

Reads run folders; writes summary.json and results.csv beside the jobs' logs. Used by
`launching.local`, `launching.slurm`, our Hydra launchers and `reproduce`.
"""

import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from meld_lightning.config.check import Prepare, check, plain
from meld_lightning.errors import UserError
from meld_lightning.runs.identity import Identity
from meld_lightning.runs.lifecycle import Request, mention_differences
from meld_lightning.runs.run import Run, find_run
from meld_lightning.storage.atomic import write_csv, write_json
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.tracking.loggers import is_logged

# what Slurm adds to a job's log, but for how a process died
NOT_OWN_WORDS = re.compile(r"(?!srun: error: .*(Killed|Aborted|Segmentation))(srun|slurmstepd)[-:]")


@dataclass
class Job:
    """One job of a sweep: what was asked, and what became of it."""

    command: str  # train, fuse or prepare
    overrides: list[str]
    config: DictConfig
    identity: Identity | None  # None for `prepare`, which leaves no run
    name: str  # the run's hash
    rerun: bool = False  # a finished run is made again
    status: str = "waiting"  # then running, and finished, read, failed or stopped
    reason: str = ""
    wall_s: float = 0.0
    log: Path | None = None

    @property
    def run(self) -> Run | None:
        return find_run(self.identity) if self.identity else None


def job_of(command: str, cfg: DictConfig, overrides: Sequence[str]) -> Job:
    """A job from its composed config; raises UserError before anything starts if the config is
    wrong."""
    if command == "prepare":
        check(cfg, Prepare)
        return Job(command, list(overrides), cfg, None, digest_of(plain(cfg)))
    request = request_of(command, cfg)
    if request.find() is None:  # a finished run need not cost the imports of a check
        request.check()
    identity = request.identity
    return Job(command, list(overrides), cfg, identity, identity.hash, cfg.rerun)


def request_of(command: str, cfg: DictConfig) -> Request:
    """The run that `train` or `fuse` is asked for."""
    if command == "train":
        from meld_lightning.training.train import Training

        return Training(cfg)
    from meld_lightning.fusion.fuse import Fusing

    return Fusing(cfg)


class Sweep:
    """The jobs that one command asks for, as a context: `to_do` holds one of each that is not
    finished yet.

    Tells what there is to do, a line for every job that ends, and at the end writes summary.json
    (what became of each job) and results.csv (the figures of each run; nothing in it depends on
    when, where or how often a job was run).
    """

    def __init__(self, jobs: Sequence[Job], logs: Path) -> None:
        self.jobs, self.logs = jobs, logs
        self._twins: dict[str, Job] = {}
        for job in jobs:
            if job.run is not None and not job.rerun:
                job.status = "read"
            else:
                self._twins.setdefault(job.name, job)
        self.to_do = list(self._twins.values())
        self._ended = 0

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        self.bar = tqdm(
            total=len(self.to_do), unit="run", disable=None, mininterval=1
        )  # None: only on a terminal
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.close()
        for job in self.jobs:
            twin = self._twins.get(job.name, job)
            job.status, job.reason, job.log = twin.status, twin.reason, twin.log
        write_json(self.logs / "summary.json", [_row(job) for job in self.jobs])
        _write_results(self.logs / "results.csv", self.jobs)

    def announce(self, how: str) -> None:
        """Says what there is to do, and `how` it is done."""
        done = len(self.jobs) - len(self.to_do)
        mention_differences([job.run for job in self.jobs if job.status == "read" and job.run])
        self.say(f"{len(self.jobs)} runs: {done} finished before, {len(self.to_do)} to do, {how}")
        if done and is_logged(self.jobs[0].config):
            self.say("finished runs are not logged again")

    def begin(self, job: Job, log: Path) -> Path:
        """Notes that the job runs and where its log is; writes its config there, and gives that
        file."""
        job.status, job.log, job.wall_s = "running", log, -time.monotonic()
        config = self.logs / f"{job.name}.yaml"
        OmegaConf.save(job.config, config, resolve=True)
        return config

    def settle(self, job: Job, reason: str) -> None:
        """Notes how a job ended: with its run, or failed for `reason` (empty: it ended well)."""
        job.wall_s += time.monotonic()
        well = job.run is not None if job.identity else not reason
        if job.rerun and reason:  # the run that is there may be the old one
            well = False
        job.status, job.reason = (
            ("finished", "") if well else ("failed", reason or "it left no result")
        )
        self._ended += 1
        self.bar.update()
        self.say(f"[{self._ended}/{len(self.to_do)}] {_describe(job)}")

    @staticmethod
    def say(line: str) -> None:
        """A line that leaves the progress bar whole."""
        tqdm.write(line)
        sys.stdout.flush()


def report_failures(jobs: Sequence[Job]) -> None:
    """Raises UserError with a line per failed job and what to do, or returns."""
    failed = [job for job in jobs if job.status == "failed"]
    if failed:
        lines = [f"  {' '.join(job.overrides)}: {job.reason} ({_log_of(job)})" for job in failed]
        raise UserError(
            "\n".join(
                [
                    (
                        f"{len(failed)} of {len(jobs)} runs failed; the same command runs just"
                        " these again:"
                    ),
                    *lines,
                ]
            )
        )


def _log_of(job: Job) -> str:
    return f"log: {job.log}" if job.log and job.log.is_file() else "no log: it never started"


def last_words(log: Path) -> str:
    """The last line of a job's log that is its own; empty where there is none."""
    if not log.is_file():
        return ""
    said = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    own = [line for line in said if not NOT_OWN_WORDS.match(line)]
    return own[-1].removeprefix("meld-lightning: ").strip() if own else ""


def _describe(job: Job) -> str:
    name, run = " ".join(job.overrides), job.run
    if job.status == "failed":
        return f"FAILED {name}: {job.reason}"
    if run is None:
        return f"{name}: done ({job.wall_s:.0f} s)"
    return (
        f"{name}: {run.result['best']['monitor']} {run.result['best']['value']:.4f}"
        f" ({job.wall_s:.0f} s)"
    )


def _write_results(path: Path, jobs: Sequence[Job]) -> None:
    """A line per finished run: what was asked, the chosen epoch, and every metric of val and
    test."""
    rows: list[dict[str, Any]] = []
    for job in jobs:
        if (run := job.run) is not None:
            figures = {
                f"{split}/{name}": value
                for split in ("val", "test")
                for name, value in run.result["metrics"][split].items()
                if isinstance(value, (int, float))
            }
            epoch = run.result["best"]["epoch"]
            rows.append(
                {"overrides": " ".join(job.overrides), "run": job.name, "epoch": epoch, **figures}
            )
    if rows:
        write_csv(path, rows)


def _row(job: Job) -> dict:
    return {
        "overrides": job.overrides,
        "run": job.name,
        "folder": str(job.identity.folder) if job.identity else None,
        "status": job.status,
        "reason": job.reason,
        "wall_s": round(max(job.wall_s, 0), 1),
        "log": str(job.log) if job.log else None,
    }

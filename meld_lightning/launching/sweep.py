"""A sweep: its pending jobs, their outcomes, and the report of its progress.

Reads run folders; writes summary.json and results.csv beside the jobs' logs. Used by both launchers
and by `reproduce`.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from omegaconf import OmegaConf
from tqdm import tqdm

from meld_lightning.config.words import counted
from meld_lightning.errors import UserError
from meld_lightning.launching.jobs import Job
from meld_lightning.runs.lifecycle import mention_differences
from meld_lightning.runs.run import last_checkpoint
from meld_lightning.runs.val_score import ValScore
from meld_lightning.storage.atomic import write_csv, write_json
from meld_lightning.tracking.finished import log_finished

logger = logging.getLogger(__name__)


class Sweep:
    """The jobs of one command, as a context; `pending` has one job for each run that is not
    finished, even if several jobs ask for it.

    Logs a line for each job that ends. Writes summary.json, each job's outcome, and results.csv,
    each run's metrics of val; nothing in results.csv depends on when, where or how often a job ran.
    """

    def __init__(self, jobs: Sequence[Job], logs: Path) -> None:
        self.jobs, self.logs = jobs, logs
        self._by_name: dict[str, Job] = {}
        for job in jobs:
            if not job.rerun and job.run is not None:
                job.status = "read"
            else:
                self._by_name.setdefault(job.name, job)
        self.pending = list(self._by_name.values())
        for job in self.pending:
            job.resumed = not job.rerun and _has_checkpoint(job)
        self._ended = 0

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        # disable=None shows the bar on terminals only
        self.bar = tqdm(total=len(self.pending), unit="run", disable=None, mininterval=1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.close()
        for job in self.jobs:
            ran = self._by_name.get(job.name, job)
            job.status, job.reason, job.log = ran.status, ran.reason, ran.log
        write_json(self.logs / "summary.json", [_summary(job) for job in self.jobs])
        _write_results(self.logs / "results.csv", self.jobs)
        if error is None and self.pending:
            self._close()

    def _close(self) -> None:
        """Logs how many runs have finished, and where everything about them is."""
        finished = [job for job in self.pending if job.status == "finished"]
        resumed, failed = sum(job.resumed for job in finished), len(self.pending) - len(finished)
        logger.info(
            "%s finished%s%s; logs and summary: %s",
            counted(len(finished), "run"),
            f" ({resumed} resumed)" if resumed else "",
            f", {failed} failed" if failed else "",
            self.logs,
        )

    def announce(self, how: str) -> None:
        """Logs how many runs are finished, pending and of these resumed, and `how` they run.
        Several jobs that ask for the same run count as one."""
        finished = len({job.name for job in self.jobs if job.status == "read"})
        mention_differences([job.run for job in self.jobs if job.status == "read" and job.run])
        resumed = sum(job.resumed for job in self.pending)
        logger.info(
            "%s: %d already finished, %d to run%s%s",
            counted(finished + len(self.pending), "run"),
            finished,
            len(self.pending),
            f", {resumed} of them from a checkpoint" if resumed else "",
            f" ({how})" if self.pending else "",
        )
        read = {job.name: job for job in self.jobs if job.status == "read"}
        for job in read.values():
            if job.run and job.identity and job.command == "train":
                log_finished(job.config, job.identity, job.run)

    def begin(self, job: Job, log: Path) -> Path:
        """Marks the job as running with this log; writes its config and returns that file."""
        job.status, job.log, job.wall_s = "running", log, -time.monotonic()
        config = self.logs / f"{job.name}.yaml"
        OmegaConf.save(job.config, config, resolve=True)
        return config

    def end(self, job: Job, failure: str) -> None:
        """Marks the job as finished or failed. failure: why its process failed; empty if it did
        not."""
        job.wall_s += time.monotonic()
        job.found = None  # it may be the run that was there before
        done = job.run is not None if job.identity else not failure
        job.status = "finished" if done else "failed"
        job.reason = "" if done else failure or "it left no result"
        self._ended += 1
        self.bar.update()
        logger.info("[%d/%d] %s", self._ended, len(self.pending), _outcome(job))


def report_failures(jobs: Sequence[Job]) -> None:
    """Raises UserError with one line per failed job, if any failed. Several jobs that ask for the
    same run count as one."""
    by_name = {job.name: job for job in reversed(jobs)}
    failed = [job for job in jobs if job.status == "failed" and job is by_name[job.name]]
    if failed:
        lines = [f"  {job.title}: {job.reason} ({_log_of(job)})" for job in failed]
        all_runs = counted(len(by_name), "run")
        first = f"{len(failed)} of {all_runs} failed; run the same command to repeat them:"
        raise UserError(first, lines)


def report_best(jobs: Sequence[Job], logs: Path) -> None:
    """Logs which of the finished runs has the best val score, and the file with all of them."""
    scored = {job.name: (job, ValScore.of(run)) for job in jobs if (run := job.run) is not None}
    if not scored:
        return
    if len({score.name for _, score in scored.values()}) == 1 and len(scored) > 1:
        job, score = max(scored.values(), key=lambda each: each[1].rank)
        logger.info(
            "best of %d runs by %s: %s (%s): %.4f",
            len(scored),
            score.name,
            job.title,
            job.identity.folder if job.identity else job.name,
            score.value,
        )
    logger.info("val metrics of every run: %s", logs / "results.csv")


def _has_checkpoint(job: Job) -> bool:
    return job.identity is not None and last_checkpoint(job.identity.folder).is_file()


def _log_of(job: Job) -> str:
    return f"log: {job.log}" if job.log and job.log.is_file() else "no log: it never started"


def _outcome(job: Job) -> str:
    run = job.run
    if job.status == "failed":
        return f"FAILED {job.title} ({_log_of(job)})"  # `report_failures` gives the reason
    if run is None:
        return f"{job.title}: done ({job.wall_s:.0f} s)"
    score = ValScore.of(run)
    only = f"; predicts one class only: {score.single_class}" if score.single_class else ""
    return f"{job.title}: {score.line()} ({job.wall_s:.0f} s){only}"


def _write_results(path: Path, jobs: Sequence[Job]) -> None:
    """One line per finished run: its overrides, chosen epoch and all metrics of val. None of test:
    settings are chosen from this file."""
    rows: list[dict[str, Any]] = []
    for job in jobs:
        if (run := job.run) is None:
            continue
        metrics = {
            f"val/{name}": value
            for name, value in run.result.metrics["val"].items()
            if isinstance(value, (int, float))
        }
        epoch = run.result.best["epoch"]
        rows.append({"overrides": job.title, "run": job.name, "epoch": epoch, **metrics})
    if rows:
        write_csv(path, rows)


def _summary(job: Job) -> dict[str, Any]:
    return {
        "overrides": job.overrides,
        "run": job.name,
        "folder": str(job.identity.folder) if job.identity else None,
        "status": job.status,
        "reason": job.reason,
        "wall_s": round(max(job.wall_s, 0), 1),
        "log": str(job.log) if job.log else None,
    }

"""`runs failed`: the jobs of sweeps that left no result, each with its reason and its log, and the
runs that were stopped.

Reads summary.json and the logs that sweeps leave in multirun/<time>/, and run folders; writes
nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from meld_lightning.launching.jobs import last_line
from meld_lightning.listing.entries import (
    DAMAGED,
    FINISHED,
    RUNNING,
    UNFINISHED,
    Entry,
    chosen,
    moment,
    read_entries,
)
from meld_lightning.listing.layout import Shown, coloured, fold, width


@dataclass(frozen=True)
class Failure:
    """A run that is missing or incomplete.

    state: failed (a job of a sweep), killed (a sweep ended without a summary), unfinished or
        damaged.
    why: the last line that it printed; may be empty.
    log: its log; empty where it wrote to a terminal.
    """

    hash: str
    what: str
    state: str
    why: str
    log: str
    when: float


def failed_runs(runs: Path, sweeps: Path, filters: Mapping[str, str]) -> Shown:
    """The runs that failed and have not finished since, newest first."""
    entries = read_entries(runs) if runs.is_dir() else []
    by_hash = {entry.hash: entry for entry in entries}
    jobs = {} if filters else _failed_jobs(sweeps, by_hash)
    found = [*jobs.values(), *_stopped(chosen(entries, filters), jobs)]
    found.sort(key=lambda one: -one.when)
    if not found:
        return Shown(f"nothing failed in {runs}/ or in the sweeps below {sweeps}/", [])
    blocks = [_text(one) for one in found]
    return Shown("\n\n".join(blocks), [asdict(one) for one in found])


def _failed_jobs(sweeps: Path, entries: Mapping[str, Entry]) -> dict[str, Failure]:
    """Hash -> the latest failure of each job that has not finished since and is not running."""
    found: dict[str, Failure] = {}
    for folder in sorted(path for path in sweeps.glob("*") if path.is_dir()):
        for failure in _of_sweep(folder):
            found[failure.hash] = failure
    done = (FINISHED, RUNNING)
    return {
        name: one
        for name, one in found.items()
        if name not in entries
        or entries[name].state not in done
        or (entries[name].state == FINISHED and entries[name].when < one.when and _reran(one))
    }


def _reran(failure: Failure) -> bool:
    """Whether the job was to make a finished run again (rerun=true): its failure counts although
    there is a finished run."""
    return "rerun=true" in failure.what.split()


def _of_sweep(folder: Path) -> list[Failure]:
    summary = folder / "summary.json"
    try:
        jobs = json.loads(summary.read_text())
        when = summary.stat().st_mtime
        return [
            Failure(
                str(job["run"]),
                " ".join(job["overrides"]),
                str(job["status"]),
                str(job["reason"]) or last_line(Path(job["log"] or "")),
                str(job["log"] or ""),
                when,
            )
            for job in jobs
            if job["status"] == "failed"
        ]
    except FileNotFoundError:  # the sweep is running, or was killed
        return [
            Failure(log.stem, "", "killed", last_line(log), str(log), log.stat().st_mtime)
            for log in sorted(folder.glob("*.log"))
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = str(error).splitlines()[0]
        when = summary.stat().st_mtime
        return [Failure(folder.name, str(summary), DAMAGED, f"damaged: {said}", "", when)]


def _stopped(entries: Sequence[Entry], jobs: Mapping[str, Failure]) -> list[Failure]:
    """Runs without a result that are not listed as a failed job."""
    return [
        Failure(
            entry.hash,
            entry.name,
            entry.state,
            entry.problem or "stopped; its own command resumes it",
            "",
            entry.when,
        )
        for entry in entries
        if entry.state in (UNFINISHED, DAMAGED) and entry.hash not in jobs
    ]


def _text(one: Failure) -> str:
    lines = [f"{one.hash}  {coloured(one.state, 'red')}  {moment(one.when)}  {one.what}".rstrip()]
    if one.why:
        lines += [f"  {part}" for part in fold(one.why, width() - 2).splitlines()]
    if one.log:
        lines.append(f"  log: {one.log}")
    return "\n".join(lines)

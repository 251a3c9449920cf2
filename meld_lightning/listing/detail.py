"""`runs show`: settings, metrics with val first, learning curve, uses, files and provenance of one
run, and the command that makes it again.

Reads a run folder, committed studies and the fusions beside it; writes nothing.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meld_lightning.errors import UserError
from meld_lightning.listing import again
from meld_lightning.listing.curve import curve
from meld_lightning.listing.entries import (
    DAMAGED,
    FINISHED,
    RUNNING,
    Entry,
    folder_size,
    moment,
    read_entries,
    read_entry,
)
from meld_lightning.listing.layout import Shown, fold, size, table, width
from meld_lightning.listing.overview import record
from meld_lightning.listing.uses import evidence, fused_runs, rows_of
from meld_lightning.metrics import METRICS
from meld_lightning.runs.names import find_folder
from meld_lightning.runs.result import Result
from meld_lightning.runs.run import load_run

SHOWN = ("loss", *METRICS)
CHECKED = {
    again.SAME: "checked: with what is prepared here it gives this hash",
    again.SAME_SETTINGS: "its data is not prepared here: it gives the same settings, and the data"
    " was not compared",
}


def show_run(given: str, runs: Path, experiments: Path) -> Shown:
    """Shows the run that `given` stands for; UserError if there is none, or several."""
    folder = find_folder(given, runs)
    entry = read_entry(folder) if folder.is_dir() else None
    if entry is None:
        raise UserError(
            f"{folder}: no run there: it has neither config.yaml nor result.json; give a hash that"
            " `meld-lightning runs list` shows"
        )
    if entry.result is None:
        return _unfinished(entry)
    made = again.make_again(load_run(folder))
    beside = read_entries(runs) if runs.is_dir() else []
    fusions = fused_runs(beside).get(folder.resolve(), [])
    uses = rows_of(entry.hash, experiments)
    studies = evidence(experiments).get(entry.hash, [])
    files = _files(folder)
    blocks = [
        _heading(entry, entry.result),
        _block("settings that differ from the defaults", made.overrides or ["none"]),
        _metrics(entry.result),
        "\n".join(curve(folder, entry.result.best["monitor"], entry.result.best["epoch"])),
        _block("used by", _used(studies, uses, fusions)),
        _block("files", [f"{size(count):>8}  {name}" for name, count in files.items()]),
        _block("made with", _provenance(entry.result)),
        _block("the command that makes it again", [made.line, f"({_checked(made)})"], wrap=False),
    ]
    data = {
        **record(entry),
        **dataclasses.asdict(entry.result),
        "settings": entry.settings.flat(),
        "differs": list(made.overrides),
        "studies": studies,
        "tables": uses,
        "fusions": [one.hash for one in fusions],
        "files": files,
        "again": {"command": made.line, "check": made.check, "reason": made.reason},
    }
    return Shown("\n\n".join(filter(None, blocks)), data)


def _unfinished(entry: Entry) -> Shown:
    """Shows a run without a result."""
    state = entry.problem if entry.state == DAMAGED else entry.state
    lines = [f"{entry.hash}  {entry.name}", f"{entry.folder}: {state}, {moment(entry.when)}"]
    if record_file := _json(entry.folder / "slurm.json"):
        lines.append(f"Slurm job {record_file.get('job')}, log: {record_file.get('log')}")
    advice = {
        RUNNING: "a process holds its lock",
        DAMAGED: "its own command makes it again; `meld-lightning runs clean what=[damaged]`"
        " deletes it",
    }.get(entry.state, "its own command resumes it; `meld-lightning runs clean` deletes it")
    files = _files(entry.folder)
    shown = [f"{size(count):>8}  {name}" for name, count in files.items()]
    text = "\n".join([*lines, advice, "", _block("files", shown)])
    return Shown(text, {**record(entry), "files": files})


def _heading(entry: Entry, result: Result) -> str:
    assert entry.state == FINISHED
    took = "" if result.wall_s is None else f" after {result.wall_s:.0f} s"
    fold_ = "" if result.fold is None else f", fold {result.fold} is test"
    rows = [
        f"{entry.hash}  {entry.name}",
        f"folder      {entry.folder}",
        f"finished    {moment(entry.when)}{took} on {result.device}",
        f"corpus      {entry.get('corpus.name')}{fold_}, {entry.get('target')}:"
        f" {', '.join(result.labels)}",
        f"model       {result.model} ({result.modality}), checkpoint: {result.checkpoint}",
    ]
    return "\n".join(_hung(row, 12) for row in rows)


def _metrics(result: Result) -> str:
    """The metrics of all splits, val first and test last."""
    splits = [split for split in ("val", "train", "test") if split in result.metrics]
    best = result.best
    chose = f"epoch {best['epoch']}" if best["epoch"] else "scored without epochs"
    rows = [
        [name, *(_number(result.metrics[split].get(name)) for split in splits)] for name in SHOWN
    ]
    rows += [
        [f"F1 of {label}", *(_number(result.metrics[split]["f1"].get(label)) for split in splits)]
        for label in result.labels
    ]
    rows.append(["utterances", *(str(result.metrics[split].get("n", "")) for split in splits)])
    title = f"metrics ({chose}; {best['monitor']} {best['value']:.4f})"
    text = table(["metric", *splits], rows, "metric")
    return "\n".join([title, *(f"  {line}" for line in text.splitlines())])


def _used(studies: Sequence[str], rows: Sequence[str], fusions: Sequence[Entry]) -> list[str]:
    kept = [f"evidence of the study {study}" for study in studies]
    return [*kept, *rows, *(f"fusion {one.hash} ({one.name})" for one in fusions)] or ["nothing"]


def _provenance(result: Result) -> list[str]:
    dirty = " with changes that are not committed" if result.dirty else ""
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    lines = [
        f"commit {(result.commit or 'none')[:12]}{dirty}; package source {result.source}",
        versions,
        *(f"digest of {name}: {digest[:12]}" for name, digest in result.digests.items()),
    ]
    if most := max((one["microbatches"] for one in result.accumulation), default=1) - 1:
        lines.append(f"gradient accumulation: up to {most + 1} microbatches")
    return lines


def _checked(made: again.Again) -> str:
    if made.check in CHECKED:
        return CHECKED[made.check]
    return f"{'NOT THE SAME' if made.check == again.OTHER else 'not checked'}: {made.reason}"


def _files(folder: Path) -> dict[str, int]:
    """File or subfolder -> bytes."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in ("checkpoints", "logits"):
            found[f"{path.name}/"] = folder_size(path)
        for file in sorted(path.iterdir()) if path.name in ("checkpoints", "logits") else [path]:
            if file.is_file():
                found[file.relative_to(folder).as_posix()] = file.stat().st_size
    return found


def _block(title: str, lines: Sequence[str], wrap: bool = True) -> str:
    rows = [_hung(f"  {line}", 4) if wrap else f"  {line}" for line in lines]
    return "\n".join([title, *rows])


def _hung(line: str, indent: int) -> str:
    """The line folded to the terminal's width, continuation lines indented."""
    first, *others = fold(line, max(width() - indent, 20)).splitlines() or [""]
    return "\n".join([first, *(" " * indent + other for other in others)])


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else ""


def _json(file: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None

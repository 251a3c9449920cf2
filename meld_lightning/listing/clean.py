"""`runs clean`: lists what can be deleted below the folder of all runs, with sizes, and deletes it.

Reads run folders, committed evidence and Slurm's queue; with yes=true deletes files. Never deleted:
anything of a run whose lock another process holds, or whose Slurm job has not ended; a result, its
logits and its config, unless the run is damaged; the weights of runs that evidence or a fusion
uses.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from meld_lightning.errors import UserError
from meld_lightning.listing.entries import (
    DAMAGED,
    FINISHED,
    RUNNING,
    UNFINISHED,
    Entry,
    chosen,
    folder_size,
    read_entries,
)
from meld_lightning.listing.layout import Shown, fold, size, table, width
from meld_lightning.listing.overview import compared_within
from meld_lightning.listing.uses import evidence, fused_runs
from meld_lightning.runs.run import claimed_if_free, last_checkpoint
from meld_lightning.storage.atomic import leftovers

MEANING = {
    "unfinished": "its own command would resume it",
    "leftovers": "temporary files of killed processes",
    "last": "last.ckpt of a finished run: nothing resumes it",
    "damaged": "its own command would make it again",
    "weights": "best.ckpt of a run that is not the best of its model on val and that no evidence or"
    " fusion uses; results, logits and tables stay",
}


@dataclass(frozen=True)
class Removal:
    """Something that can be deleted.

    kind: a key of MEANING. path: a run folder, or files inside of it.
    """

    kind: str
    run: str
    path: Path
    bytes: int


def clean_runs(
    runs: Path,
    experiments: Path,
    filters: Mapping[str, str],
    what: Sequence[str],
    delete: bool,
) -> Shown:
    """Lists what can be deleted; with `delete`, deletes it, each run under its lock."""
    entries = read_entries(runs)
    selected = chosen(entries, filters)
    queued = _queued(selected)
    running = [one for one in selected if one.state == RUNNING or one.folder in queued]
    free = [one for one in selected if one not in running]
    needed = _needed(entries, experiments)
    found = [
        removal
        for kind in dict.fromkeys(what)
        for removal in _removals(kind, free, entries, needed)
    ]
    kept: list[str] = [f"{one.hash}: kept, it is running or queued" for one in running]
    if delete:
        deleted = [removal for removal in found if _delete(removal)]
        kept += [
            f"{one.run}: kept, it has been started since" for one in found if one not in deleted
        ]
        found = deleted
    total = size(sum(removal.bytes for removal in found))
    if not found:
        text = "\n".join([*kept, f"{runs}: nothing to delete ({', '.join(what)})"])
        return Shown(text, {"deleted": delete, "bytes": 0, "removals": [], "kept": kept})
    names = {entry.hash: entry.name for entry in entries}
    rows = [
        [one.run, names.get(one.run, ""), one.kind, size(one.bytes), str(one.path)] for one in found
    ]
    listed = table(["hash", "run", "kind", "size"], [row[:4] for row in rows], "run")
    kinds = dict.fromkeys(one.kind for one in found)
    notes = [fold(f"{kind}: {MEANING[kind]}", width()) for kind in kinds]
    end = f"deleted: {total}" if delete else f"{total} in all; yes=true deletes it"
    data = {
        "deleted": delete,
        "bytes": sum(one.bytes for one in found),
        "removals": [{**asdict(one), "path": str(one.path)} for one in found],
        "kept": kept,
    }
    return Shown("\n".join([listed, "", *notes, *kept, end]), data)


def _removals(
    kind: str, free: Sequence[Entry], entries: Sequence[Entry], needed: set[Path]
) -> Iterator[Removal]:
    if kind in ("unfinished", "damaged"):
        wanted = UNFINISHED if kind == "unfinished" else DAMAGED
        for entry in free:
            if entry.state == wanted:
                yield Removal(kind, entry.hash, entry.folder, entry.size)
    elif kind == "leftovers":
        for entry in free:
            if entry.state == FINISHED:
                for path in _leftovers(entry.folder):
                    yield Removal(kind, entry.hash, path, _bytes(path))
    elif kind == "last":
        for entry in free:
            path = last_checkpoint(entry.folder)
            if entry.state == FINISHED and path.is_file():
                yield Removal(kind, entry.hash, path, _bytes(path))
    else:
        best = _best(entries)
        for entry in free:
            path = entry.folder / "checkpoints" / "best.ckpt"
            kept = entry.folder in best or entry.folder.resolve() in needed
            if entry.state == FINISHED and not kept and path.is_file():
                yield Removal(kind, entry.hash, path, _bytes(path))


def _needed(entries: Iterable[Entry], experiments: Path) -> set[Path]:
    """The runs whose weights evidence or a fusion uses."""
    entries = list(entries)
    kept = evidence(experiments)
    found = {entry.folder.resolve() for entry in entries if entry.hash in kept}
    return found | set(fused_runs(entries))


def _best(entries: Iterable[Entry]) -> set[Path]:
    """The best run on val of each model, among runs whose scores can be compared."""
    best: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        if entry.result is not None:
            group = (*compared_within(entry), entry.result.modality, entry.result.model)
            if group not in best or entry.rank > best[group].rank:
                best[group] = entry
    return {entry.folder for entry in best.values()}


def _queued(entries: Iterable[Entry]) -> set[Path]:
    """Unfinished runs whose Slurm job may still run. Without squeue, all that were submitted to
    Slurm."""
    submitted: dict[Path, str] = {}
    for entry in entries:
        if entry.state == UNFINISHED and (entry.folder / "slurm.json").is_file():
            try:
                submitted[entry.folder] = json.loads((entry.folder / "slurm.json").read_text())[
                    "job"
                ]
            except (ValueError, KeyError, TypeError):
                submitted[entry.folder] = ""
    if not submitted or shutil.which("squeue") is None:
        return set(submitted)
    from meld_lightning.launching.slurm_queue import ENDED, queue

    now = queue()
    return {
        folder for folder, job in submitted.items() if job in now and now[job].state not in ENDED
    }


def _delete(removal: Removal) -> bool:
    """Deletes it under the run's lock; False if another process has taken the lock, or if an
    unfinished run has finished, since it was listed."""
    of_run = removal.kind in ("unfinished", "damaged")
    folder = (
        removal.path
        if of_run
        else next(parent for parent in removal.path.parents if parent.name == removal.run)
    )
    with claimed_if_free(folder) as free:
        if not free or (removal.kind == "unfinished" and (folder / "result.json").is_file()):
            return False
        try:
            if removal.path.is_dir():
                shutil.rmtree(removal.path)
            else:
                removal.path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(
                f"{error.filename or removal.path}: cannot be deleted ({error.strerror}); what is"
                " listed before it has been deleted"
            ) from error
    return True


def _leftovers(folder: Path) -> list[Path]:
    inner = [path for path in (folder / "checkpoints", folder / "logits") if path.is_dir()]
    return [path for place in (folder, *inner) for path in leftovers(place)]


def _bytes(path: Path) -> int:
    return folder_size(path) if path.is_dir() else path.stat().st_size

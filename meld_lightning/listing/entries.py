"""Finds run folders with their states, and selects some by their settings.

Reads runs/<modality>-<model>/<hash>/: result.json of finished runs, and config.yaml if a setting or
a name is needed. Writes nothing. Used by every other file of this room.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from meld_lightning.config.keys import parameters_of
from meld_lightning.config.nodes import Runs
from meld_lightning.config.suggestions import suggestion
from meld_lightning.config.words import setting
from meld_lightning.errors import UserError, near_miss
from meld_lightning.runs.names import run_folders, run_name
from meld_lightning.runs.result import Result, read_result
from meld_lightning.runs.run import is_running
from meld_lightning.runs.settings import MISSING, Settings

FINISHED, RUNNING, UNFINISHED, DAMAGED = "finished", "running", "unfinished", "damaged"
STATES = (FINISHED, RUNNING, UNFINISHED, DAMAGED)
# keys of a filter that are not settings
OF_ENTRIES = ("state", "modality", "hash", "device", "commit")


@dataclass(frozen=True)
class Entry:
    """One run folder.

    state: one of STATES. A finished run that is made again (rerun=true) is running.
    result: None unless the run is finished.
    problem: why the run is damaged.
    when: the time at which a finished run ended, or of the last change of another one, in seconds
        since 1970.
    """

    folder: Path
    state: str
    result: Result | None
    problem: str
    when: float

    @property
    def hash(self) -> str:
        """The run's hash, which names its folder."""
        return self.folder.name

    @cached_property
    def settings(self) -> Settings:
        """The settings in its config.yaml."""
        return Settings(self.folder)

    @cached_property
    def name(self) -> str:
        """Its name for people; its folder's name if config.yaml is damaged."""
        try:
            return run_name(self.settings)
        except UserError:
            return self.folder.parent.name

    @property
    def modality(self) -> str:
        """The first part of its folder's name."""
        return self.result.modality if self.result else self.folder.parent.name.partition("-")[0]

    @property
    def score(self) -> float | None:
        """The val score that chose its epoch or fusion; None unless it is finished."""
        return float(self.result.best["value"]) if self.result else None

    @property
    def rank(self) -> float:
        """Sort key by `score`: the best run has the highest, runs without a score the lowest."""
        if self.result is None or self.score is None or self.score != self.score:
            return float("-inf")
        return -self.score if self.result.best["monitor"] == "val/loss" else self.score

    @cached_property
    def size(self) -> int:
        """Total bytes of its files."""
        return folder_size(self.folder)

    def get(self, key: str) -> Any:
        """The value of a setting or of one of OF_ENTRIES; MISSING if the run does not have it."""
        if key in OF_ENTRIES:
            if key in ("device", "commit"):
                return getattr(self.result, key) if self.result else MISSING
            return getattr(self, key)
        try:
            return self.settings.get(key)
        except UserError:
            return MISSING


def read_entries(runs: Path) -> list[Entry]:
    """Every run folder below `runs`; UserError if `runs` is not a folder."""
    found = (read_entry(folder) for folder in run_folders(runs))
    return [entry for entry in found if entry is not None]


def read_entry(folder: Path) -> Entry | None:
    """The run in `folder`; None if it holds neither a config nor a result."""
    for name in ("result.json", "config.yaml"):
        try:
            when = (folder / name).stat().st_mtime
        except OSError:
            continue
        if name == "config.yaml":
            state = RUNNING if is_running(folder) else UNFINISHED
            return Entry(folder, state, None, "", _latest(folder, when))
        try:
            result = read_result(folder)
            float(result.best["value"]), result.best["monitor"], result.metrics["val"]
        except UserError as error:
            return Entry(folder, DAMAGED, None, _damage(error), when)
        except (KeyError, TypeError, ValueError) as error:
            return Entry(folder, DAMAGED, None, f"result.json: no val score ({error})", when)
        if not (folder / "config.yaml").is_file():
            return Entry(folder, DAMAGED, None, "config.yaml: missing", when)
        return Entry(folder, FINISHED, result, "", when)
    return None


def chosen(entries: Sequence[Entry], filters: Mapping[str, str]) -> list[Entry]:
    """The entries whose settings have the values of `filters`: key -> value as on a command line,
    alternatives separated by commas.

    UserError for a key that no run has.
    """
    found = list(entries)
    for key, text in filters.items():
        if key == "state" and text not in STATES:
            raise UserError(
                f"state={text}: expected one of {', '.join(STATES)}{near_miss(text, STATES)}"
            )
        values = {entry.folder: entry.get(key) for entry in entries}
        if entries and all(value is MISSING for value in values.values()):
            known = known_keys(entries) | set(parameters_of(Runs))
            raise UserError(
                f"{key}={text}: no run here has the setting '{key}'{suggestion(key, known)}"
            )
        wanted = _alternatives(text)
        found = [entry for entry in found if setting(values[entry.folder]) in wanted]
    return found


def known_keys(entries: Iterable[Entry]) -> set[str]:
    """Every dotted key of the entries' settings, its parents, and OF_ENTRIES."""
    found = set(OF_ENTRIES)
    for entry in entries:
        try:
            for key in entry.settings.flat():
                parts = key.split(".")
                found |= {".".join(parts[: depth + 1]) for depth in range(len(parts))}
        except UserError:
            continue
    return found


def folder_size(folder: Path) -> int:
    """Bytes of all files below `folder`; files that are deleted meanwhile are not counted."""
    total = 0
    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                total += folder_size(Path(entry.path))
            else:
                total += entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        pass
    return total


def moment(seconds: float) -> str:
    """`11-26 02:41` in local time; for another year, the date with its year."""
    then = datetime.fromtimestamp(seconds)
    return then.strftime("%m-%d %H:%M" if then.year == datetime.now().year else "%Y-%m-%d")


def _alternatives(text: str) -> set[str]:
    """The values of a filter as `setting` writes them, so that 0.001 and 1e-3 are equal."""
    found = set()
    for one in [text] if text.startswith("[") else text.split(","):
        try:
            value = yaml.safe_load(one)
        except yaml.YAMLError:
            value = one
        if isinstance(value, str):
            try:
                value = float(value)  # YAML reads 1e-3, without a point, as text
            except ValueError:
                value = one
        found |= {setting(value), one}
    return found


def _latest(folder: Path, when: float) -> float:
    """The last change of an unfinished run: of its newest checkpoint, if it has one."""
    times = [when]
    for path in (folder / "checkpoints").glob("*.ckpt"):
        try:
            times.append(path.stat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times)


def _damage(error: UserError) -> str:
    """The error without its folder and its remedy, which every such message repeats."""
    said = str(error).rpartition("; ")[0] or str(error)
    return said.partition(": ")[2] or said

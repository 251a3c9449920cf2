"""Reads the files that W&B leaves in run folders: RUN/wandb/*run-*/run-*.wandb, offline or sent.

A .wandb file is a LevelDB log of protobuf records. A resumed run leaves several folders with one
run id: they are one run here. Tests use it to prove what the loggers write; the package itself
reads run folders only.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meld_lightning.tracking.wandb_logger import STEP

MAGIC, HEADER, BLOCK = (
    b":W&B",
    7,
    32768,
)  # of the file; of each piece of a record; pieces never cross a block
WHOLE, LAST = 1, 4  # kinds of pieces that end a record


@dataclass
class WatchedRun:
    """One W&B run, whatever number of folders it was written to."""

    id: str
    project: str = ""
    group: str = ""
    name: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    commit: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    steps: dict[int, dict[str, Any]] = field(default_factory=dict)
    exit_code: int | None = None  # None: killed
    folders: list[Path] = field(default_factory=list)

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was logged, a row a step, in their order; of what was logged twice at a step the
        last stands."""
        return [self.steps[step] for step in sorted(self.steps)]


def read_runs(folder: Path) -> list[WatchedRun]:
    """Every run under `folder`: a run folder, or all of runs/."""
    found: dict[str, WatchedRun] = {}
    files = [path for path in folder.rglob("run-*.wandb") if path.parent.parent.name == "wandb"]
    for path in sorted(
        files, key=lambda path: (path.parent.parent, path.parent.name.split("run-", 1)[1])
    ):
        _read_into(found, path)
    return list(found.values())


def _read_into(found: dict[str, WatchedRun], path: Path) -> None:
    run: WatchedRun | None = None
    for record in _records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            said = record.run
            run = found.setdefault(said.run_id, WatchedRun(said.run_id))
            if path.parent not in run.folders:
                run.folders.append(path.parent)
                run.exit_code = None
            run.project, run.group = said.project, said.run_group
            run.name, run.job_type = said.display_name, said.job_type
            run.tags, run.commit = list(said.tags), said.git.commit
            _update(run.config, said.config)
        elif run is None:
            continue
        elif kind == "config":
            _update(run.config, record.config)
        elif kind == "summary":
            _update(run.summary, record.summary)
        elif kind == "history":
            _add_row(run, record.history)
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    if run is not None:
        for tree in (run.config, run.summary):
            for key in [key for key in tree if key.startswith("_")]:
                del tree[key]


def _add_row(run: WatchedRun, history: Any) -> None:
    row: dict[str, Any] = {}
    for item in history.item:
        _put(row, list(item.nested_key) or [item.key], json.loads(item.value_json))
    shown = {key: value for key, value in row.items() if not key.startswith("_")}
    run.summary.update(
        {key: value for key, value in shown.items() if isinstance(value, (int, float, str))}
    )
    if STEP in shown:
        run.steps.setdefault(int(shown[STEP]), {}).update(shown)


def _update(tree: dict[str, Any], change: Any) -> None:
    for item in change.update:
        _put(tree, list(item.nested_key) or [item.key], json.loads(item.value_json))
    for item in change.remove:
        tree.pop(item.key, None)


def _put(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = value


def _records(path: Path) -> Iterator[Any]:
    """The whole records of a file; what a kill cut off at its end is left out."""
    from wandb.proto import wandb_internal_pb2

    messages: Any = wandb_internal_pb2  # whose classes protobuf makes when it is imported

    for whole in _pieces(path.read_bytes(), path):
        record = messages.Record()
        record.ParseFromString(whole)
        yield record


def _pieces(content: bytes, path: Path) -> Iterator[bytes]:
    if content and content[:4] != MAGIC:
        raise ValueError(f"{path}: not a file of W&B's")
    position, record = HEADER, b""
    while True:
        left = BLOCK - position % BLOCK
        if left < HEADER:  # too short for another piece: filled up
            position += left
            continue
        if position + HEADER > len(content):
            return
        _, length, kind = struct.unpack("<IHB", content[position : position + HEADER])
        if kind == 0 or position + HEADER + length > len(content):
            return
        record += content[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (WHOLE, LAST):
            yield record
            record = b""

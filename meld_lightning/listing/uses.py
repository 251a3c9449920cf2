"""Where a run is used: by committed tables and studies, and by fusions.

Reads experiments/<study>/ (results.csv of the tables, the names of the evidence) and config.yaml of
fusions; writes nothing. Used by `show` and by `clean`.
"""

import csv
from collections.abc import Iterable
from pathlib import Path

from meld_lightning.errors import UserError
from meld_lightning.listing.entries import Entry
from meld_lightning.runs.names import started_in
from meld_lightning.runs.settings import MISSING


def evidence(experiments: Path) -> dict[str, list[str]]:
    """Hash -> the studies that keep evidence of the run."""
    found: dict[str, list[str]] = {}
    for folder in sorted(experiments.glob("*/runs/*")):
        found.setdefault(folder.name, []).append(folder.parents[1].name)
    return found


def rows_of(run: str, experiments: Path) -> list[str]:
    """The rows of committed tables that show the run with this hash, each as in
    `meld_minilm/table_03: mean_pooling, seed 2`."""
    found: dict[str, None] = {}
    for file in sorted(experiments.glob("*/*/results.csv")):
        with file.open(newline="", encoding="utf-8") as lines:
            for line in csv.DictReader(lines):
                if line.get("run") == run:
                    table = f"{file.parents[1].name}/{file.parent.name}"
                    fold = f", fold {line['fold']}" if line.get("fold") else ""
                    found[f"{table}: {line['row']}, seed {line['seed']}{fold}"] = None
    return list(found)


def fused_runs(entries: Iterable[Entry]) -> dict[Path, list[Entry]]:
    """Folder of a run -> the fusions that read it, or chose another run over it."""
    found: dict[Path, list[Entry]] = {}
    for entry in entries:
        try:
            read, others = entry.settings.block("runs"), entry.settings.block("alternatives")
            base = started_in(entry.folder, str(entry.settings.get("paths.runs")))
        except UserError:
            continue
        folders = [] if read is MISSING else [one for one in read.values() if one]
        folders += [] if others is MISSING else [one for each in others.values() for one in each]
        for folder in dict.fromkeys(folders):
            found.setdefault((base / folder).resolve(), []).append(entry)
    return found

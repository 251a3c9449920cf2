"""What the page is made from: a study's results and, where it is at hand, its corpus.

Reads and writes nothing. Made by the commands `report` and `reproduce`; every part of the page
reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from meld_lightning.report.breakdowns import fusion_details
from meld_lightning.report.folds import unpooled
from meld_lightning.report.results import Material, TableResults
from meld_lightning.study.sources import FinishedRun, source_runs
from meld_lightning.study.spec import RowKey

if TYPE_CHECKING:
    from meld_lightning.corpus import Corpus
    from meld_lightning.media import Media


@dataclass(frozen=True)
class StudyReport:
    """A study's results.

    material: all runs that exist, by (table, row), and the study's own keys.
    results: the tables and figures in the order in which they are shown.
    commands: hash of a run -> the command that makes it again.
    reproduce: the command that makes whatever is missing.
    corpus: the prepared corpus; None where only evidence is at hand, which holds no texts.
    media: its decoded clips; None where they are not at hand or study.show_clips is off.
    """

    material: Material
    results: Sequence[TableResults]
    commands: Mapping[str, str] = field(default_factory=dict)
    reproduce: str = ""
    corpus: Corpus | None = None
    media: Media | None = None

    def rows(self) -> dict[RowKey, Sequence[FinishedRun]]:
        """The rows that the tables and figures rest on, by the table that declares them, with
        their runs (those of several folds pooled)."""
        return {key: runs for key, runs in self.material.runs.items() if runs}

    def row_runs(self) -> list[FinishedRun]:
        """The runs of all rows, no run twice."""
        found = {run.result.hash: run for runs in self.rows().values() for run in runs}
        return list(found.values())

    @cached_property
    def sources(self) -> dict[str, dict[str, str]]:
        """hash of a fusion -> modality -> hash of the run that it fuses."""
        found: dict[str, dict[str, str]] = {}
        tables, runs, seeds = self.material.tables, self.material.runs, self.material.seeds
        for (name, _), of_row in self.rows().items():
            by_modality = {
                modality: source_runs(source, tables, runs, seeds)
                for modality, source in tables[name].sources.items()
            }
            for run in of_row if by_modality else ():
                found[run.result.hash] = {
                    modality: by_modality[modality][run.result.seed].result.hash
                    for modality in fusion_details(unpooled(run)[0])["modalities"]
                }
        return found

    @cached_property
    def alone(self) -> dict[str, dict[str, str]]:
        """hash of a fusion of several modalities -> modality -> hash of the run that stands for
        that modality alone, wherever the page sets the two side by side.

        That is the run of the table's first row that fuses nothing else (its calibration, say, is
        then the fusion's), or the fused run itself where the table has no such row.
        """
        rows: dict[tuple[str, str, int], str] = {}  # table, modality, seed
        for (table, _), run in self._fusions():
            modality, *others = self.sources[run.result.hash]
            if not others:
                rows.setdefault((table, modality, run.result.seed), run.result.hash)
        return {
            run.result.hash: {
                name: rows.get((table, name, run.result.seed), source)
                for name, source in self.sources[run.result.hash].items()
            }
            for (table, _), run in self._fusions()
            if len(self.sources[run.result.hash]) > 1
        }

    def _fusions(self) -> list[tuple[RowKey, FinishedRun]]:
        """The runs that fuse others, with their rows."""
        return [
            (key, run)
            for key, runs in self.rows().items()
            for run in runs
            if self.sources.get(run.result.hash)
        ]

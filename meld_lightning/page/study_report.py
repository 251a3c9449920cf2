"""What the page is made from: a study's results and, where it is at hand, its corpus.

Reads and writes nothing. Made by the commands `report` and `reproduce`; every part of the page
reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meld_lightning.report.folds import unpooled
from meld_lightning.report.results import Material, TableResults
from meld_lightning.study.sources import FinishedRun
from meld_lightning.study.spec import RowKey

if TYPE_CHECKING:
    from meld_lightning.corpus import Corpus


@dataclass(frozen=True)
class StudyReport:
    """A study's results.

    material: all runs that exist, by (table, row), and the study's own keys.
    results: the tables and figures in the order in which they are shown.
    commands: hash of a run -> the command that makes it again.
    reproduce: the command that makes whatever is missing.
    corpus: the prepared corpus; None where only evidence is at hand, which holds no texts.
    """

    material: Material
    results: Sequence[TableResults]
    commands: Mapping[str, str] = field(default_factory=dict)
    reproduce: str = ""
    corpus: Corpus | None = None

    def rows(self) -> Iterator[tuple[RowKey, Sequence[FinishedRun]]]:
        """The rows that the tables show, by the table that declares them, with their runs (those of
        several folds pooled); no row twice."""
        seen: set[RowKey] = set()
        for one in self.results:
            for key in one.table.rows:
                name = (one.table.source, key)
                if name not in seen and self.material.runs.get(name):
                    seen.add(name)
                    yield name, self.material.runs[name]

    def runs(self) -> dict[str, FinishedRun]:
        """hash -> run, of all rows; a pooled run is followed by the runs of its folds."""
        found: dict[str, FinishedRun] = {}
        for _, of_row in self.rows():
            for run in of_row:
                found.setdefault(run.result.hash, run)
                for part in unpooled(run):
                    found.setdefault(part.result.hash, part)
        return found

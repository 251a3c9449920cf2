"""The contract between a corpus layout's reader and the rest of the corpus room.

A layout is a module with `VERSION: int` and `read(request: ReadRequest) -> Found`. `corpus.layout`
names it: either a module of this folder ("meld", "manifest") or the dotted path of any other
importable module. Used by load.py and prepared.py, and by the readers themselves.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd

from meld_lightning.corpus.readers.clip_files import MissingFile
from meld_lightning.corpus.readers.meld_files import Clips
from meld_lightning.errors import UserError, near_miss


@dataclass(frozen=True)
class ReadRequest:
    """What the configuration asks a reader for (conf/corpus).

    root: the corpus's folder or file, absolute; it need not exist.
    split, folds, fold: how to split a corpus that has no split of its own; see load_corpus.
    test: a second file whose rows are all test, absolute.
    test_by: the unit by which that file is divided into val and test instead; see load_corpus.
    columns, labels: the file's names of columns and labels that differ; see load_corpus.
    realignment: MELD-FAIR's file of pieces, absolute; see realignment.py.
    """

    root: Path
    split: str | None = None
    folds: int = 5
    fold: int = 0
    test: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    realignment: Path | None = None
    test_by: str | None = None


@dataclass(frozen=True)
class Found:
    """What a reader returns.

    name: what the corpus is called unless the configuration names it.
    folder: file names in the corpus report are relative to it.
    table: see Corpus.table; `typed` gives the columns their types.
    emotions, sentiments: the labels in their fixed order; sentiments is empty if there are none.
    sources: the files that the table was read from.
    repaired: number of characters repaired in each row (N,).
    cleaned: whether names or text of each row were replaced by a spelling that looks the same (N,);
        empty if the reader does not do that.
    assumed: what was assumed to read the files, one line each.
    clips: what a search for clip files found; None if the table alone says which files there are.
    missing: each file that a row names, or a search found, but that cannot be read.
    ignored_columns: columns of the source that are not used.
    left_out: number of rows left out of every split because test contains others of their unit.
    numbered: whether dialogue and utterance ids count up from 0 in each split, so that gaps mean
        missing rows.
    paper, official: published numbers of utterances by split, for Table 1.
    realigned: how many rows a clip map gave another clip; see readers/realignment.py.
    note: a paragraph for the top of the corpus report.
    optimum: the best possible accuracy, split -> modality -> {"expected", "realised"}; known only
        for synthetic data, which is labelled as such wherever its results are shown.
    """

    name: str
    folder: Path
    table: pd.DataFrame
    emotions: tuple[str, ...]
    sentiments: tuple[str, ...]
    sources: tuple[Path, ...]
    repaired: tuple[int, ...]
    cleaned: tuple[bool, ...] = ()
    assumed: tuple[str, ...] = ()
    clips: Clips | None = None
    missing: tuple[MissingFile, ...] = ()
    ignored_columns: tuple[str, ...] = ()
    left_out: int = 0
    numbered: bool = False
    paper: Mapping[str, int] | None = None
    official: Mapping[str, int] | None = None
    realigned: Mapping[str, Mapping[str, int]] | None = None
    note: str | None = None
    optimum: Mapping[str, Any] | None = None


class Reader(Protocol):
    """A layout's module. Raise VERSION when the same files are read differently: corpora prepared
    by the older version are then prepared again."""

    VERSION: int

    def read(self, request: ReadRequest) -> Found:
        """Reads and checks the corpus; raises UserError with one line that names file and row."""


def find_reader(layout: str) -> Reader:
    """The reader of `layout`; UserError if there is none."""
    here = __name__.rpartition(".")[0]
    for name in (f"{here}.{layout}", layout):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not f"{name}.".startswith(f"{error.name}."):  # found, but an import of its own fails
                raise UserError(f"corpus.layout {layout!r}: {name}: {error}") from error
        else:
            if is_reader(module):
                return cast(Reader, module)
    known = sorted(layouts())
    raise UserError(
        f"corpus.layout {layout!r} is unknown{near_miss(layout, known)}; expected"
        f" {', '.join(known)} or the dotted path of a module with VERSION and read(request)"
    )


def layouts() -> list[str]:
    """The layouts of this folder."""
    here = __name__.rpartition(".")[0]
    names = [one.name for one in pkgutil.iter_modules(importlib.import_module(here).__path__)]
    return [name for name in names if is_reader(importlib.import_module(f"{here}.{name}"))]


def is_reader(module: object) -> bool:
    """Whether `module` has what a layout needs."""
    return callable(getattr(module, "read", None)) and isinstance(
        getattr(module, "VERSION", None), int
    )

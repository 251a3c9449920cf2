"""What a table is, as conf/table/*.yaml declares it, and which runs it needs.

Reads the composed `table` node, writes nothing. Used by `reproduce`, which makes the runs of
`needed_cells`, and by the rest of the report. Imports nothing heavy.

A spec's keys (all but `title` optional):
    title      the caption
    kind       runs (the default), corpus (the corpus report's counts), or a figure: confusion,
               frames or diagram
    cells      {key: [overrides of train]}: one row each. null: the study does not run this row
    product    {override: [values]}: a row for each combination, beside `cells`
    folds      [0, 1, 2, 3]: every cell is run on each of these corpus.fold, and each utterance is
               told by the run that held it out
    from       the table whose cells these are
    sources    {modality: where its run comes from}: "table_08.wav2vec2", or "max val/weighted_f1 of
               table_02 table_04". The cells are then fusions of these runs, their overrides those
               of `fuse`; a figure shows the runs
    select     "max val/weighted_f1": one row, chosen on val among the cells that the paper prints;
               a second one among the study's own, where there are any. Its key is `chosen`, its
               name `label`
    compare    "max val/weighted_f1": the row that all others are tested against
    against    the cell that all others are tested against, where it is fixed rather than chosen
    by_class   true: precision, recall and F1 of each class below, for every row
    columns    {config key: header}: settings shown; taken over from `from` where absent
    metrics    {split/name: header}
    paper      {cell: {metric: the number as printed}}. A cell without an entry is the study's own
               row. Of kind corpus: {found: {split: number}}
    published  {model: the number as printed}: rows of others, under the first metric
    percent    true: figures times 100 with two decimals
    notes      numbers of the remarks in notes.py
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from meld_lightning.errors import UserError, near_miss
from meld_lightning.metrics import METRICS
from meld_lightning.report.notes import NOTES

CHOSEN, OWN_CHOSEN, BASELINE = RESERVED = (
    "chosen",
    "own_chosen",
    "baseline",
)  # rows that no spec declares
FIGURES = ("confusion", "frames", "diagram")
FOUND = "found"  # the one row of a table of kind corpus: the utterances of each split

Overrides = list[str]


@dataclass(frozen=True)
class Rule:
    """How a row is chosen: the best mean of a val/ metric."""

    best: str  # max or min
    metric: str  # val/<name>


@dataclass(frozen=True)
class Source:
    """Where a run comes from: one cell of one table, or the best by `rule` of all cells of
    several."""

    tables: tuple[str, ...]
    cell: str | None = None
    rule: Rule | None = None

    def cells(self, tables: Mapping[str, Table]) -> list[tuple[str, str]]:
        """(table, cell) of all that it may be, but for those that the study does not run."""
        owned = [(tables[name].source, tables[name]) for name in self.tables]
        every = [
            (owner, cell)
            for owner, table in owned
            for cell, how in table.cells.items()
            if how is not None
        ]
        return [one for one in every if self.cell in (None, one[1])]


@dataclass(frozen=True)
class Table:
    """One table's checked spec; see the top of the file."""

    name: str
    title: str
    source: str
    kind: str = "runs"
    cells: dict[str, Overrides | None] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)
    paper: dict[str, dict[str, str]] = field(default_factory=dict)
    published: dict[str, str] = field(default_factory=dict)
    notes: tuple[int, ...] = ()
    select: Rule | None = None
    compare: Rule | None = None
    label: str = "chosen on val"
    percent: bool = False
    sources: dict[str, Source] = field(default_factory=dict)
    against: str | None = None
    by_class: bool = False
    folds: tuple[int, ...] = ()

    @property
    def split(self) -> str:
        """The one split whose utterances this table scores."""
        return next(metric.split("/")[0] for metric in self.metrics if has_interval(metric))


def read_tables(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Table]:
    """Check every spec of the `table` node; raises UserError with the table and key at fault."""
    plain = {name: _checked(name, spec) for name, spec in tables.items()}
    read = {}
    for name, spec in plain.items():
        source = spec.get("from", name)
        if source not in plain or (source != name and "from" in plain[source]):
            raise _error(name, "from", f"is {source!r}, expected a table that has cells of its own")
        read[name] = _table(name, spec, source, plain[source])
        _check(read[name])
    for table in read.values():
        _check_sources(table, read)
    return read


def _table(name: str, spec: dict[str, Any], source: str, owner: dict[str, Any]) -> Table:
    as_they_stand = (
        "title",
        "kind",
        "metrics",
        "paper",
        "published",
        "label",
        "percent",
        "against",
        "by_class",
    )
    return Table(
        name=name,
        source=source,
        cells=_cells(source, owner),
        columns=spec.get("columns", owner.get("columns", {})),
        notes=tuple(spec.get("notes", ())),
        folds=_folds(source, owner.get("folds", ())),
        select=_rule(name, "select", spec.get("select")),
        compare=_rule(name, "compare", spec.get("compare")),
        sources={key: _source(name, key, text) for key, text in spec.get("sources", {}).items()},
        **{key: spec[key] for key in as_they_stand if key in spec},
    )


def table_cells(tables: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Overrides]:
    """(table, cell) -> overrides of `train`, for every cell of every table that has cells of its
    own.

    `product` is spelt out; cells that a study does not run (null) and tables that borrow their
    cells are left out.
    """
    return needed_cells(tables, tables)


def needed_cells(
    tables: Mapping[str, Mapping[str, Any]], selected: Iterable[str]
) -> dict[tuple[str, str], Overrides]:
    """The part of `table_cells` that the selected tables rest on, `from` followed; in the order of
    `selected`."""
    read, needed = read_tables(tables), {}
    for table in _rests_on(read, selected):
        if not table.sources:
            needed.update(_own_cells(table))
    return needed


def needed_fusions(
    tables: Mapping[str, Mapping[str, Any]], selected: Iterable[str]
) -> dict[tuple[str, str], Overrides]:
    """(table, cell) -> overrides of `fuse`, for every fusion that the selected tables rest on."""
    read, needed = read_tables(tables), {}
    for table in _rests_on(read, selected):
        if table.sources:
            needed.update(_own_cells(table))
    return needed


def _rests_on(read: Mapping[str, Table], selected: Iterable[str]) -> list[Table]:
    """The selected tables and those that their sources name, these first; each once."""
    found: dict[str, Table] = {}
    for name in selected:
        table = chosen_table(read, name)
        names = [other for source in table.sources.values() for other in source.tables]
        for one in [*_rests_on(read, names), table]:
            found.setdefault(one.name, one)
    return list(found.values())


def _own_cells(table: Table) -> dict[tuple[str, str], Overrides]:
    return {
        (table.source, cell): overrides
        for cell, overrides in table.cells.items()
        if overrides is not None
    }


def chosen_table(tables: Mapping[str, Table], name: str) -> Table:
    """The table of that name; UserError with the nearest name where there is none."""
    if name not in tables:
        raise UserError(
            f"tables: there is no table '{name}'{near_miss(name, tables)}; conf/table/ has one file"
            " a table"
        )
    return tables[name]


def has_interval(metric: str) -> bool:
    """Whether the metric can be computed from stored logits (losses and everything of train
    cannot)."""
    split, name = metric.split("/")
    return split in ("val", "test") and name in METRICS


def setting(value: Any) -> str:
    """A config value as a person writes it: 2e-5, not 2e-05; true, not True."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        import numpy as np

        small = value != 0 and abs(value) < 1e-3
        return np.format_float_scientific(value, trim="-", exp_digits=1) if small else f"{value:g}"
    return "null" if value is None else str(value)


def _checked(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec as a plain dict with known keys only."""
    known = [f.name for f in fields(Table) if f.name not in ("name", "source")] + [
        "from",
        "product",
    ]
    for key in spec:
        if key not in known:
            raise _error(name, str(key), f"is not known{near_miss(str(key), known)}")
    if not isinstance(spec.get("title"), str):
        raise _error(name, "title", "is missing")
    if OmegaConf.is_config(spec):
        spec = cast(dict[str, Any], OmegaConf.to_container(cast(DictConfig, spec), resolve=True))
    plain = {str(key): value for key, value in spec.items() if value is not None}
    for key in ("cells", "product", "columns", "metrics", "paper", "published", "sources"):
        if not isinstance(plain.get(key, {}), Mapping):
            raise _error(name, key, f"is {plain[key]!r}, expected a mapping")
    return plain


def _cells(name: str, spec: Mapping[str, Any]) -> dict[str, Overrides | None]:
    cells: dict[str, Overrides | None] = {}
    for key, overrides in spec.get("cells", {}).items():
        if key in RESERVED:
            raise _error(
                name, f"cells.{key}", "is a key that the report uses itself: give the row another"
            )
        if overrides is not None and (
            isinstance(overrides, str) or not all("=" in str(one) for one in overrides)
        ):
            raise _error(name, f"cells.{key}", f"is {overrides!r}, expected a list of key=value")
        cells[str(key)] = None if overrides is None else [str(one) for one in overrides]
    for key, overrides in _product(name, spec.get("product", {})).items():
        if key in cells:
            raise _error(name, f"cells.{key}", "is also made by `product`: give it another key")
        cells[key] = overrides
    return cells


def _product(name: str, axes: Mapping[str, Any]) -> dict[str, Overrides]:
    """{data.batch_size: [8, 16], model: [bert]} -> {batch_size_8: [...], batch_size_16: [...]}, the
    last axis fastest.

    A key names the axes that vary (all, where none does).
    """
    for axis, values in axes.items():
        if isinstance(values, (str, Mapping)) or not isinstance(values, Collection) or not values:
            raise _error(name, f"product.{axis}", f"is {values!r}, expected a list of values")
    varying = [axis for axis in axes if len(axes[axis]) > 1] or list(axes)
    cells: dict[str, Overrides] = {}
    for values in itertools.product(*axes.values()) if axes else ():
        at = {axis: setting(value) for axis, value in zip(axes, values, strict=True)}
        key = "_".join(f"{axis.split('.')[-1]}_{at[axis]}" for axis in varying)
        if key in cells:
            raise _error(
                name, "product", f"makes the cell '{key}' twice: write these rows under `cells`"
            )
        cells[key] = [f"{axis}={value}" for axis, value in at.items()]
    return cells


def _folds(name: str, folds: Any) -> tuple[int, ...]:
    numbers = not isinstance(folds, (str, Mapping)) and isinstance(folds, Collection)
    if (
        not numbers
        or any(type(one) is not int or one < 0 for one in folds)
        or len(set(folds)) != len(folds)
    ):
        raise _error(
            name,
            "folds",
            f"is {folds!r}, expected a list of different fold numbers such as [0, 1, 2]",
        )
    return tuple(folds)


def _rule(name: str, key: str, text: str | None) -> Rule | None:
    if text is None:
        return None
    words = str(text).split()
    if len(words) != 2 or words[0] not in ("max", "min") or not words[1].startswith("val/"):
        raise _error(
            name,
            key,
            f"is {text!r}, expected 'max val/<metric>' or 'min val/<metric>': test never chooses",
        )
    return Rule(*words)


def _source(name: str, key: str, text: Any) -> Source:
    choice, of, names = str(text).partition(" of ")
    if of:
        return Source(tuple(names.split()), rule=_rule(name, f"sources.{key}", choice))
    table, dot, cell = str(text).partition(".")
    if not dot or not cell:
        raise _error(
            name,
            f"sources.{key}",
            f"is {text!r}, expected TABLE.CELL or 'max val/<metric> of TABLE ...'",
        )
    return Source((table,), cell=cell)


def _check_sources(table: Table, read: Mapping[str, Table]) -> None:
    for key, source in table.sources.items():
        for name in source.tables:
            if name not in read:
                raise _error(
                    table.name,
                    f"sources.{key}",
                    f"names {name!r}, which is no table{near_miss(name, read)}",
                )
            if read[name].folds:
                raise _error(
                    table.name,
                    f"sources.{key}",
                    f"names {name}, whose cells are each several runs (folds)",
                )
        cells = read[source.tables[0]].cells
        if source.cell is not None and source.cell not in cells:
            where = (
                f"names {source.cell!r}, which is no cell of"
                f" {source.tables[0]}{near_miss(source.cell, cells)}"
            )
            raise _error(table.name, f"sources.{key}", where)


def _check(table: Table) -> None:
    """What can only be seen once a table is whole."""
    if table.kind not in ("runs", "corpus", *FIGURES):
        raise _error(
            table.name,
            "kind",
            f"is {table.kind!r}, expected runs, corpus or one of {', '.join(FIGURES)}",
        )
    if table.against is not None and table.against not in table.cells:
        raise _error(
            table.name,
            "against",
            f"is {table.against!r}, which is no cell{near_miss(table.against, table.cells)}",
        )
    unknown = [number for number in table.notes if number not in NOTES]
    if unknown:
        raise _error(
            table.name,
            "notes",
            f"names remark {unknown[0]}, but report/notes.py has 1-{max(NOTES)}",
        )
    if table.kind == "corpus":
        _check_paper(table, {FOUND}, ("train", "val", "test"))
        if FOUND not in table.paper:
            raise _error(
                table.name,
                "paper",
                f"has no '{FOUND}', expected the paper's counts by split under it",
            )
        return
    if table.kind in FIGURES:
        if not table.sources:
            raise _error(table.name, "sources", "is missing: a figure says whose runs it shows")
        return
    splits = {metric.split("/")[0] for metric in table.metrics if has_interval(metric)}
    if len(splits) != 1 or any(metric.count("/") != 1 for metric in table.metrics):
        raise _error(
            table.name,
            "metrics",
            f"score {sorted(splits)}, expected <split>/<name> of one of val and test",
        )
    _check_paper(table, {CHOSEN} if table.select else set(table.cells), table.metrics)


def _check_paper(table: Table, cells: Collection[str], metrics: Collection[str]) -> None:
    for cell, figures in table.paper.items():
        if cell not in cells:
            raise _error(
                table.name, f"paper.{cell}", f"is no cell of this table{near_miss(cell, cells)}"
            )
        for metric, printed in figures.items():
            if metric not in metrics:
                raise _error(table.name, f"paper.{cell}.{metric}", "is no metric of this table")
            if not isinstance(printed, str):
                raise _error(
                    table.name,
                    f"paper.{cell}.{metric}",
                    f"is {printed!r}: quote it, to keep it as printed",
                )


def _error(table: str, key: str, what: str) -> UserError:
    return UserError(f"conf/table: {table}.{key} {what}")

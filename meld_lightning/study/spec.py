"""Table specs: what conf/table/ and conf/study/tables/ declare, read from the composed `table`
node.

Writes nothing and imports nothing heavy. Used by study/plan.py, which derives the runs that tables
need, and by report/.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, cast

from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from meld_lightning.config.parts import GroupingName
from meld_lightning.config.words import setting
from meld_lightning.errors import UserError, near_miss
from meld_lightning.metrics import METRICS

# keys of printed rows that no spec may declare
CHOSEN, OWN_CHOSEN, BASELINE = RESERVED = ("chosen", "own_chosen", "baseline")

Overrides = list[str]
RowKey = tuple[str, str]  # (table, row)
Kind = Literal["runs", "corpus", "confusion", "frames", "diagram", "intervals", "missing", "audit"]
Fold = Annotated[int, Field(ge=0)]

OF_VAL = re.compile("val/[^/]+")  # the metrics that may choose
# what was expected, by pydantic's type of error
EXPECTED = {
    "string_type": "text: put it in quotes",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "tuple_type": "a list",
    "greater_than_equal": "at least 0",
}


@dataclass(frozen=True)
class Rule:
    """How a row is chosen: by the best mean of a val/ metric."""

    best: str  # max or min
    metric: str  # val/<name>


@dataclass(frozen=True)
class Source:
    """Where a run comes from: one row of one table, or the best by `rule` of all rows of several
    tables; with `seed` that seed's run, whichever seed is fused."""

    tables: tuple[str, ...]
    row: str | None = None
    rule: Rule | None = None
    seed: int | None = None

    def candidates(self, tables: Mapping[str, Table]) -> list[RowKey]:
        """The rows that may be the source, without those that the study does not run."""
        owned = [(tables[name].source, tables[name]) for name in self.tables]
        return [
            (owner, row)
            for owner, table in owned
            for row, overrides in table.rows.items()
            if overrides is not None and self.row in (None, row)
        ]


@checked_dataclass(frozen=True, config=ConfigDict(strict=True))
class Table:
    """A table spec. Each argument but `name` and `source` is a key of the spec, as are `from` and
    `product`, which become rows and sources. pydantic checks the types.

    Args:
        name: the spec's name.
        title: the caption; no other key has to be given.
        source: the table that declares the rows: its own name, or what `from` says.
        kind: runs, corpus (the corpus report's counts), audit (the metric of every source in groups
            of utterances), or a figure: confusion, frames, diagram, intervals (the first metric of
            every row with its interval), missing (the first metric of every fusion while modalities
            are missing).
        rows: {row: [overrides of train]}, or of fuse if there are sources. null: the study does not
            run this row.
        product: {override: [values]}: a row for each combination, in addition to `rows`.
        folds: [0, 1, 2, 3]: every row is run on each of these corpus.fold, and each utterance is
            predicted by the run that held it out.
        from: the table whose rows, columns and sources these are.
        sources: {modality: where its run comes from}: "table_08.wav2vec2", or "max val/weighted_f1
            of table_02 table_04". The rows are then fusions of these runs; a figure shows the runs.
            "table_02.batch_8 seed 1" is the run of one seed: a table whose sources all name one has
            ensembles of seeds, one run per row.
        select: "max val/weighted_f1": prints one row, the best on val among the rows that the paper
            prints, and a second one, the best among the study's own rows, if it has any. The key of
            the first is `chosen`.
        label: the printed name of the row that `select` chooses.
        compare: "max val/weighted_f1": picks the row that all others are tested against.
        against: the name of the row that all others are tested against.
        by: of an audit, the groupings.
        speakers: of an audit, further groupings: {name: {group: pattern of speakers' names}}.
        by_class: true: precision, recall and F1 of each class below the table, for every row.
        columns: {config key: header}: settings to show.
        metrics: {split/name: header}, such as {test/weighted_f1: F1}; the scores are all of val or
            all of test.
        paper: {row: {metric: the number as the paper prints it}}. A row without an entry is the
            study's own. Of kind corpus: {found: {split: number}}.
        published: {model: the number as printed}: other authors' results, under the first metric.
        percent: true: metrics times 100 with two decimals; not beside compare or against.
        notes: numbers of the remarks on the paper in report/notes.py.
    """

    name: str
    title: str
    source: str
    kind: Kind = "runs"
    rows: dict[str, Overrides | None] = field(default_factory=dict)
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
    folds: tuple[Fold, ...] = ()
    by: tuple[GroupingName, ...] = ()
    speakers: dict[str, dict[str, str]] = field(default_factory=dict)

    def seeds(self, of_study: Sequence[int]) -> Sequence[int]:
        """The seeds that its rows have a run for: those of the study, or the first of them for
        ensembles of seeds."""
        ensembles = self.sources and all(one.seed is not None for one in self.sources.values())
        return of_study[:1] if ensembles else of_study

    @property
    def split(self) -> str:
        """The one split whose utterances this table scores."""
        return next(metric.split("/")[0] for metric in self.metrics if has_interval(metric))


def has_interval(metric: str) -> bool:
    """Whether the metric can be computed from stored logits. Losses and train metrics cannot."""
    split, _, name = metric.partition("/")
    return split in ("val", "test") and name in METRICS


def spec_error(table: str, key: str, what: str) -> UserError:
    """The error that names a table's key and what is wrong with it."""
    return UserError(f"table.{table}.{key} {what}")


def parse_table(name: str, specs: Mapping[str, dict[str, Any]]) -> Table:
    """Parses one of the specs that `plain_spec` returned; UserError names the key at fault."""
    spec = specs[name]
    source = spec.get("from", name)
    named = isinstance(source, str) and source in specs
    if not named or (source != name and "from" in specs[source]):
        raise spec_error(name, "from", f"is {source!r}, expected a table with rows of its own")
    owner = specs[source]
    verbatim = (
        *("title", "kind", "metrics", "paper", "published", "label"),
        *("percent", "against", "by_class", "speakers"),
    )
    try:
        return Table(
            name=name,
            source=source,
            rows=_rows(source, owner),
            columns=spec.get("columns", owner.get("columns", {})),
            notes=_as_tuple(spec.get("notes", [])),
            by=_as_tuple(spec.get("by", [])),
            folds=_as_tuple(owner.get("folds", [])),
            select=_rule(name, "select", spec.get("select")),
            compare=_rule(name, "compare", spec.get("compare")),
            sources={
                key: _source(name, key, one)
                for key, one in spec.get("sources", owner.get("sources", {})).items()
            },
            **{key: spec[key] for key in verbatim if key in spec},
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        expected = first.get("ctx", {}).get("expected") or EXPECTED.get(first["type"])
        wanted = f"expected {expected}" if expected else first["msg"]
        raise spec_error(name, key, f"is {first['input']!r}, {wanted}") from None


def plain_spec(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec as a plain dict; UserError for an unknown key, a missing title, or where a mapping
    is missing."""
    if not isinstance(spec, Mapping):
        raise UserError(f"table.{name} is {spec!r}, expected a mapping with a title")
    known = {each.name for each in fields(Table)} - {"name", "source"} | {"from", "product"}
    for key in spec:
        if key not in known:
            raise spec_error(name, str(key), f"is not known{near_miss(str(key), known)}")
    if not isinstance(spec.get("title"), str):
        raise spec_error(name, "title", "is missing")
    if OmegaConf.is_config(spec):
        spec = cast(dict[str, Any], OmegaConf.to_container(cast(DictConfig, spec), resolve=True))
    plain = {str(key): value for key, value in spec.items() if value is not None}
    for key in (
        "rows",
        "product",
        "columns",
        "metrics",
        "paper",
        "published",
        "sources",
        "speakers",
    ):
        if not isinstance(plain.get(key, {}), Mapping):
            raise spec_error(name, key, f"is {plain[key]!r}, expected a mapping")
    return plain


def _rows(name: str, spec: Mapping[str, Any]) -> dict[str, Overrides | None]:
    rows: dict[str, Overrides | None] = {}
    for key, overrides in spec.get("rows", {}).items():
        if key in RESERVED:
            raise spec_error(name, f"rows.{key}", "is a reserved key: give the row another")
        if overrides is not None and (
            not isinstance(overrides, (list, tuple))
            or not all("=" in str(one) for one in overrides)
        ):
            raise spec_error(name, f"rows.{key}", f"is {overrides!r}, expected a list of key=value")
        rows[str(key)] = None if overrides is None else [str(one) for one in overrides]
    for key, overrides in _product(name, spec.get("product", {})).items():
        if key in rows:
            raise spec_error(name, f"rows.{key}", "is also made by `product`: give it another key")
        rows[key] = overrides
    return rows


def _product(name: str, axes: Mapping[str, Any]) -> dict[str, Overrides]:
    """{data.batch_size: [8, 16], model: [bert]} -> {batch_size_8: [...], batch_size_16: [...]}, the
    last axis varying fastest.

    A row's key names the axes that vary (all of them, if none does).
    """
    for axis, values in axes.items():
        if isinstance(values, (str, Mapping)) or not isinstance(values, Collection) or not values:
            raise spec_error(name, f"product.{axis}", f"is {values!r}, expected a list of values")
    varying = [axis for axis in axes if len(axes[axis]) > 1] or list(axes)
    rows: dict[str, Overrides] = {}
    for values in itertools.product(*axes.values()) if axes else ():
        at = {axis: setting(value) for axis, value in zip(axes, values, strict=True)}
        key = "_".join(f"{axis.split('.')[-1]}_{at[axis]}" for axis in varying)
        if key in rows:
            raise spec_error(
                name, "product", f"makes the row '{key}' twice: declare these rows under `rows`"
            )
        rows[key] = [f"{axis}={value}" for axis, value in at.items()]
    return rows


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _rule(name: str, key: str, text: str | None) -> Rule | None:
    if text is None:
        return None
    words = str(text).split()
    if len(words) != 2 or words[0] not in ("max", "min") or not OF_VAL.fullmatch(words[1]):
        raise spec_error(
            name,
            key,
            f"is {text!r}, expected 'max val/<metric>' or 'min val/<metric>': test never chooses",
        )
    return Rule(*words)


def _source(name: str, key: str, text: Any) -> Source:
    choice, of, names = str(text).partition(" of ")
    if of and names.split():
        return Source(tuple(names.split()), rule=_rule(name, f"sources.{key}", choice))
    text, _, seed = str(text).partition(" seed ")
    if seed and not seed.isdecimal():
        raise spec_error(name, f"sources.{key}", f"has seed {seed!r}, expected a whole number")
    table, dot, row = text.partition(".")
    if not dot or not row:
        raise spec_error(
            name,
            f"sources.{key}",
            f"is {text!r}, expected TABLE.ROW, TABLE.ROW seed N or 'max val/<metric> of TABLE ...'",
        )
    return Source((table,), row=row, seed=int(seed) if seed else None)

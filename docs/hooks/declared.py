"""What is declared about tables, in Markdown: the keys of a spec, and the tables of each study.

Reads the docstring of `Table` and the composed `reproduce`. Used by `reference`.
"""

from collections.abc import Collection
from dataclasses import fields
from typing import get_type_hints

from meld_lightning.config.composed import Composed
from meld_lightning.config.docstrings import argument_docs
from meld_lightning.config.tree import conf_dir
from meld_lightning.config.words import in_words
from meld_lightning.study.kinds import read_tables
from meld_lightning.study.spec import Table

MADE = {"from": "text", "product": "mapping"}  # keys that become rows and sources, and their types
TEXTS = ("select", "compare")  # which are parsed
OF_FILE = ("name", "source")  # what a spec does not state about itself
MOST_ROWS = 12  # more of them are counted


def keys_of_tables() -> str:
    """A row for each key of a table's spec."""
    types = get_type_hints(Table, include_extras=True)
    defaults = {one.name: one.default for one in fields(Table)}
    rows = []
    for key, doc in argument_docs(Table.__doc__).items():
        if key in OF_FILE:
            continue
        kind = MADE.get(key) or ("text" if key in TEXTS else in_words(types[key]))
        default = defaults.get(key)
        given = f"`{default}`" if isinstance(default, str) else "none"
        stated = "has to be given" if key == "title" else given
        rows.append(f"| `{key}` | {kind} | {stated} | {doc} |")
    return "\n".join(["| key | what it may be | default | meaning |", "|---|---|---|---|", *rows])


def tables_of_study(study: str) -> str:
    """The tables that `reproduce study=STUDY` makes, in this order, and further ones of its own."""
    composed = Composed.of("reproduce", [f"study={study}"]).tree
    tables, made = read_tables(composed["table"]), composed["study"]["tables"]
    shared = {path.stem for path in (conf_dir() / "table").glob("*.yaml")}
    others = [name for name in tables if name not in {*made, *shared}]
    rows = [f"| {_linked(name, shared)} | {_title(tables[name])} |" for name in made]
    rows += [
        f"| `{name}` | {_title(tables[name])}: only with `tables=[{name}]` |" for name in others
    ]
    return "\n".join(["| table | what it shows |", "|---|---|", *rows])


def _linked(name: str, shared: Collection[str]) -> str:
    return f"[`{name}`](table.md#{name})" if name in shared else f"`{name}`"


def _title(table: Table) -> str:
    """The title, and the names of the rows that the table declares itself."""
    rows = [row for row, overrides in table.rows.items() if overrides is not None]
    if table.source != table.name or not rows:
        return table.title
    if len(rows) > MOST_ROWS:
        return f"{table.title}: {len(rows)} rows"
    return f"{table.title}: {', '.join(f'`{row}`' for row in rows)}"

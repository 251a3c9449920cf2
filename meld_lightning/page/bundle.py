"""The page's own files: style sheets, ES modules and the vendored plotting library.

Reads page/assets/; returns text. Used by page/document.py. A page from disk cannot import files, so
the modules of assets/script are joined in the order of their imports: each becomes a function that
returns what the module exports.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
VENDORED = ("d3.min.js", "plot.umd.min.js")  # in the order in which they load; see vendored.json
STYLES = (
    *("base.css", "layout.css", "tables.css", "panel.css", "figures.css", "explorer.css"),
    "compare.css",
    "print.css",
)
ENTRY = "main"
IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?function|const|class) (\w+)", re.MULTILINE)
LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


@cache
def asset(name: str) -> str:
    """The text of a file below page/assets/."""
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def modules() -> str:
    """assets/script/main.js and all that it imports, as one script.

    Raises ValueError for modules that import each other in a circle, and for any form of import or
    export but `import {name} from "./file.js";` and `export` before a declaration.
    """
    done: dict[str, str] = {}
    _append(ENTRY, (), done)
    return "\n".join(done.values())


def _append(name: str, importing: tuple[str, ...], done: dict[str, str]) -> None:
    """Adds a module to `done`, after those that it imports. importing: the modules on the way."""
    if name in importing:
        raise ValueError(f"{' -> '.join((*importing, name))}: modules import each other")
    if name in done:
        return
    text = asset(f"script/{name}.js")
    for _, imported in IMPORT.findall(text):
        _append(imported, (*importing, name), done)
    exported = ", ".join(name for _, name in EXPORT.findall(text))
    body = EXPORT.sub(r"\1 \2", IMPORT.sub(r"const \1 = $\2;", text))
    if found := LEFT.search(body):
        raise ValueError(f"script/{name}.js: `{found[0]}` cannot be joined with other modules")
    done[name] = f"const ${name} = (() => {{\n{body}return {{ {exported} }};\n}})();"

"""Writes reports/<study>/index.html: the page of a study's results.

Reads what the report computed and, for texts, the prepared corpus. Used by the commands `report`
and `reproduce`. The same inputs give the same bytes.
"""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from meld_lightning.page.document import document
from meld_lightning.page.explorer import explorer_data
from meld_lightning.page.figures import figures_data
from meld_lightning.page.overview import overview_data
from meld_lightning.page.predictions import predictions_data
from meld_lightning.page.runs import runs_data
from meld_lightning.page.study_report import StudyReport
from meld_lightning.page.tables import tables_data
from meld_lightning.report.colours import MODALITIES, OTHERS
from meld_lightning.storage.atomic import write_text

# the parts of the data, by the names under which the scripts ask for them
PARTS = {
    "overview": overview_data,
    "tables": tables_data,
    "runs": runs_data,
    "predictions": predictions_data,
    "figures": figures_data,
}


def write_page(report: StudyReport, folder: Path) -> Path:
    """Writes index.html into `folder` and returns its path."""
    path = folder / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page_html(report))
    return path


def page_html(report: StudyReport) -> str:
    """The page as text."""
    parts: dict[str, Any] = {name: build(report) for name, build in PARTS.items()}
    parts["explorer"] = explorer_data(report, parts["predictions"]["sets"])
    title = str(report.material.study["title"])
    return document(title, {name: _plain(part) for name, part in parts.items()}, _colours())


def _plain(value: Any) -> Any:
    """Dataclasses, at any depth of lists and dicts, as dicts."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _colours() -> str:
    """The colours of modalities as variables of the style sheet."""
    others = {f"other-{place}": colour for place, colour in enumerate(OTHERS, 1)}
    named = {**MODALITIES, **others}
    light = "".join(f"--{name}:{colour.light};" for name, colour in named.items())
    dark = "".join(f"--{name}:{colour.dark};" for name, colour in named.items())
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"

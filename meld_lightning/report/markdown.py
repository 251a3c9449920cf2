"""Writes pages, figures and a study's README as Markdown.

Reads pages and the table.md files already rendered; returns text. Used by report/render.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from meld_lightning.report.page import VERDICTS, Grid, Page

# what makes an element, a comment, an entity or a link; other signs stay as they are
MARKUP = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<=\])[(:\[]|[\x00-\x1f\x7f-\x9f]")


def page_markdown(page: Page) -> str:
    """table.md of a table."""
    parts = [f"# {_line(page.title)}", page.study_note]
    for grid in page.grids:
        parts += [f"**{_line(grid.caption)}**"] if grid.caption else []
        parts.append(_grid(grid))
    parts += map(_line, page.remarks)
    if page.verdicts:
        parts += [VERDICTS, "\n".join(f"- {_line(one)}" for one in page.verdicts)]
    if page.notes:
        parts.append("\n".join(f"- {_line(one)}" for one in page.notes))
    return "\n\n".join(parts) + "\n"


def figure_markdown(title: str, study_note: str, folder: str, missing: str) -> str:
    """table.md of a figure. folder: its folder's name; missing: why it was not drawn, "" if it
    was."""
    body = f"Not drawn: {missing}." if missing else picture(title, folder)
    return f"# {title}\n\n{study_note}\n\n{body}\n"


def picture(title: str, folder: str) -> str:
    """The figure in `folder`, as the study's README shows it."""
    return f"![{title}]({folder}/figure.png)\n\n[SVG]({folder}/figure.svg)"


def readme_markdown(out: Path, study: Mapping[str, Any]) -> str:
    """README.md of a study: every table that exists in `out`, including those rendered earlier.

    Remarks and notes that several tables have are printed once, at the end; a remark names them.
    """
    parts = [f"# {study['title']}\n\n{study['note']}\n"]
    places = {name: place for place, name in enumerate(study.get("tables", ()))}
    paths = sorted(
        out.glob("*/table.md"), key=lambda path: (places.get(path.parent.name, len(places)), path)
    )
    pages = {path: _paragraphs(path.read_text(encoding="utf-8")) for path in paths}
    # the study's note, which already stands at the top, is between a page's title and its body
    body_at = 1 + len(_paragraphs(study["note"]))
    times = Counter(text for page in pages.values() for text in set(page[body_at:]))
    shared = [text for text, number in times.items() if number > 1 and _is_remark(text)]
    for path in paths:
        kept = [text for text in pages[path][body_at:] if text not in shared]
        parts.append("\n\n".join([f"#{pages[path][0]}", *kept]) + "\n")
        links = [
            f"[{name}]({path.parent.name}/{file})"
            for name, file in (("LaTeX", "table.tex"), ("CSV", "results.csv"))
            if (path.parent / file).is_file()
        ]
        parts.append(f"Files: {', '.join(links)}\n")
    if shared:
        title = "## Remarks on several tables"
        remarks = [_for_tables(text, pages.values()) for text in sorted(shared, key=_order)]
        parts.append("\n\n".join([title, *remarks]) + "\n")
    return "\n".join(parts)


def _paragraphs(text: str) -> list[str]:
    """The paragraphs of a table.md; every numbered note is one of its own."""
    return [
        line
        for paragraph in text.strip().split("\n\n")
        for line in (paragraph.split("\n") if paragraph.startswith("- Note") else [paragraph])
    ]


def _is_remark(text: str) -> bool:
    """Whether a paragraph is a remark or a note, and no grid, caption, picture or verdict."""
    return text.startswith("- Note") or not text.startswith(("#", "|", "**", "!", "- ", "["))


def _for_tables(text: str, pages: Iterable[Sequence[str]]) -> str:
    """A shared remark after the titles of its tables; `Table 2` stands for a title that begins so.
    Notes on the paper say themselves what they are about."""
    if text.startswith("- Note"):
        return text
    titles = [page[0].removeprefix("# ") for page in pages if text in page]
    names = [re.sub(r"^((?:Table|Figure) \d+): .*", r"\1", title) for title in titles]
    return f"*{'; '.join(names)}.* {text}"


def _order(text: str) -> tuple[int, str]:
    """Remarks come before notes, and notes by their number."""
    number = re.match(r"- Note (\d+)", text)
    return (int(number[1]) if number else 0, text)


def _line(text: str) -> str:
    """One line, in which names and texts of the corpus become no HTML, links or pictures."""
    return MARKUP.sub(_entity, " ".join(text.splitlines()))


def _text(text: str) -> str:
    """A line in one cell of a table."""
    safe = re.sub(r"\\+(?=\|)", lambda found: "&#92;" * len(found[0]), _line(text))
    return safe.replace("|", "\\|")


def _entity(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"


def _grid(grid: Grid) -> str:
    from tabulate import tabulate

    safe = [list(map(_text, line)) for line in [grid.headers, *grid.rows]]
    align = ["left"] + ["right"] * (len(grid.headers) - 1)
    return tabulate(
        safe[1:], headers=safe[0], tablefmt="pipe", disable_numparse=True, colalign=align
    )

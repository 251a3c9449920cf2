"""Tables of the corpus report in Markdown.

Returns text. Used by markdown.py and votes.py.
"""

from collections.abc import Iterable, Sequence


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is aligned left and whose others are aligned right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(cell(str(one)) for one in line) + " |" for line in lines)


def cell(text: str) -> str:
    """`text` on one line, without what Markdown takes for the end of a cell."""
    return text.replace("|", "\\|").replace("\n", " ")

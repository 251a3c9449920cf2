"""A rendered table before it becomes Markdown or LaTeX: grids of text and the remarks below them.

Made by report/layout.py, written by report/markdown.py and report/latex.py.
"""

from dataclasses import dataclass, field

VERDICTS = (
    "Our figures compared with the paper's, judged by our 95 % interval alone because the paper"
    " gives none (within: the paper's figure lies inside our interval):"
)


@dataclass(frozen=True)
class Grid:
    """Rows of text under one line of headers."""

    caption: str
    headers: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Page:
    """One table with everything printed above and below it."""

    name: str
    title: str
    study_note: str
    grids: list[Grid]
    remarks: list[str] = field(default_factory=list)  # how to read the figures
    # above, below or within the paper's figures; empty where the study does not compare
    verdicts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # numbered remarks on the paper

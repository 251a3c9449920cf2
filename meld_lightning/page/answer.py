"""A question that the overview answers, with links to what shows it.

Reads and writes nothing. Made by page/answers.py and page/weakest.py; read by the page's
overview.js.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A place on the page. params: of its address; see page/assets/script/state.js."""

    text: str
    section: str
    params: dict[str, str]


@dataclass(frozen=True)
class Answer:
    """A question with its answer in whole sentences, and where the page shows it.

    text: what stands between ** and ** is printed in bold.
    """

    question: str
    text: str
    links: list[Link]

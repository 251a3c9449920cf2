"""A rectangle of text, as layout makes it and render writes it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """Rows under one line of headers."""

    caption: str
    headers: list[str]
    rows: list[list[str]]

"""Text for a terminal: tables that fit its width, sizes, bars, and colour if it is supported.

Reads and writes nothing. Used by the other files of this room.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

PIPED = 200  # columns where there is no terminal
NARROWEST = 16  # columns that the flexible column keeps at least
NUMBERS = (
    "val",
    "train",
    "test",
    "size",
    "runs",
)  # headers of columns that are aligned to the right
UNITS = ("B", "KB", "MB", "GB", "TB")
COLOURS = {"red": "31", "yellow": "33", "green": "32"}


@dataclass(frozen=True)
class Shown:
    """The output of an action: as text, and as data for JSON."""

    text: str
    data: Any


def width() -> int:
    """COLUMNS, or the columns of the terminal; PIPED if there is neither."""
    return shutil.get_terminal_size((PIPED, 24)).columns


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], flexible: str) -> str:
    """The rows as a table no wider than the terminal; the column `flexible` is wrapped to fit."""
    place = list(headers).index(flexible)
    others = [
        max(len(plain(row[column])) for row in [headers, *rows])
        for column in range(len(headers))
        if column != place
    ]
    room = max(NARROWEST, width() - sum(others) - 2 * len(others))
    cells = [
        [fold(cell, room) if column == place else cell for column, cell in enumerate(row)]
        for row in rows
    ]
    sides = ["right" if name in NUMBERS else "left" for name in headers]
    shown = tabulate(
        cells, headers, "simple", colalign=sides if rows else None, disable_numparse=True
    )
    return "\n".join(line.rstrip() for line in shown.splitlines())


def fold(text: str, room: int) -> str:
    """`text` in lines of at most `room` columns, broken after one of "- ,;/" if possible."""
    lines = []
    while len(text) > room:
        cut = max(text.rfind(sign, room // 2, room) for sign in "- ,;/") + 1
        lines.append(text[: cut or room].rstrip())
        text = text[cut or room :]
    return "\n".join([*lines, text])


def size(count: int) -> str:
    """`1.9 MB`: bytes in powers of 1000, as disks are labelled."""
    value, unit = float(count), UNITS[0]
    for unit in UNITS:
        if value < 999.5 or unit == UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"


def coloured(text: str, colour: str) -> str:
    """`text` in a colour; unchanged without a terminal or if NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def plain(text: str) -> str:
    """`text` without the codes that `coloured` added."""
    for code in (*(f"\x1b[{code}m" for code in COLOURS.values()), "\x1b[0m"):
        text = text.replace(code, "")
    return text


def bar(share: float, columns: int) -> str:
    """A horizontal bar over `share` (0 to 1) of `columns`, in characters that stdout can encode."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    sign = "█" if encoding.startswith("utf") else "#"
    return sign * round(min(max(share, 0.0), 1.0) * columns)

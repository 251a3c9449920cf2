"""Figures as the page's sentences print them.

Reads and writes nothing. Used by page/answers.py and page/overview.py. The page's format.js prints
the same in tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from meld_lightning.report.layout import p_text


def figure(value: float, percent: bool = False) -> str:
    """.6069, or 60.69 in a table of percentages."""
    return f"{value * 100:.2f}" if percent else _short(f"{value:.4f}")


def signed(value: float) -> str:
    """A difference: −.0054, and +.0000 for whatever rounds to zero."""
    return _short(f"{round(value, 4) + 0.0:+.4f}").replace("-", "−")


def interval(
    low: float | None, high: float | None, *, sign: bool = False, percent: bool = False
) -> str:
    """[.5792, .6239] after a space; "" if there is none. sign: of a difference."""
    if low is None or high is None or math.isnan(low):
        return ""
    ends = [signed(end) if sign else figure(end, percent) for end in (low, high)]
    return f" [{ends[0]}, {ends[1]}]"


def probability(p: float | None, at_floor: bool = False) -> str:
    """A p-value: .0431, <.0001, ≤.0040, or 1; see report/layout.py."""
    return p_text(p, at_floor).replace("0.", ".", 1).replace("1.0000", "1")


def percent(share: float) -> str:
    """26 %, which no line break divides."""
    return f"{share * 100:.0f}\u00a0%"


def count(number: int | None) -> str:
    """2610 as 2,610."""
    return f"{number or 0:,}"


def bold(name: str) -> str:
    """As page/assets/script/overview.js prints it in an answer."""
    return f"**{name}**"


def listed(names: Sequence[str]) -> str:
    """a, b and c"""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _short(text: str) -> str:
    """Without the zero before the point."""
    return text.replace("0.", ".", 1) if text.lstrip("+-").startswith("0.") else text

"""Answers for people: a readable table with bars that fits the terminal.

Writes to a stream such as stdout. A single item is shown with all its labels, several items with
one line each. Without a terminal there are no colours; if the encoding has no block characters,
bars consist of `#`. Used by the command `predict`. output.py describes the answers.
"""

import os
import shutil
import sys
import textwrap
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
import pandas as pd

from meld_lightning.inference.answers.output import LABEL, SHARE, labels_of, modalities_of

WIDEST, NARROWEST = 100, 30  # columns that a table takes, whatever the terminal has
PIPED = 100  # columns where there is no terminal
BAR = 50  # columns of the longest bar
LABELS_SHOWN = 10  # for one item; the probabilities of the others are added up
ROWS_SHOWN = 60  # for several items; out=FILE writes all
LONGEST_TEXT = 400  # characters shown of an item's text
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_NEEDED = _EIGHTHS + "…–"


@dataclass(frozen=True)
class Style:
    """What the stream supports: columns, block characters, and bold and dim text."""

    width: int = PIPED
    blocks: bool = True
    colour: bool = False

    def bar(self, share: float, cells: int) -> str:
        """A bar of length `share * cells`, padded with blanks to `cells`."""
        share = min(max(share, 0.0), 1.0) if np.isfinite(share) else 0.0
        if not self.blocks:
            return ("#" * round(share * cells)).ljust(cells)
        full, rest = divmod(round(share * cells * 8), 8)
        return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(cells)

    def bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self.colour else text

    def dim(self, text: str) -> str:
        return f"\033[2m{text}\033[0m" if self.colour else text

    def fit(self, text: str, width: int) -> str:
        """`text` in exactly `width` columns; the middle of a longer text is left out."""
        text = visible(text)
        if columns(text) > width:
            gap = "…" if self.blocks else "..."
            head, tail = "", ""
            while text and columns(head + gap + tail) < width:
                if columns(head) <= columns(tail):
                    head, text = head + text[0], text[1:]
                else:
                    tail, text = text[-1] + tail, text[:-1]
            while columns(head + gap + tail) > width and (head or tail):
                head, tail = (head[:-1], tail) if head else (head, tail[1:])
            text = head + gap + tail
        return text + " " * (width - columns(text))


def show_answers(answers: pd.DataFrame, stream: TextIO | None = None) -> None:
    """Prints the answers to `stream` (None: stdout) in the style that it supports."""
    stream = stream or sys.stdout
    text = answer_text(answers, style_of(stream))
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, errors="replace").decode(encoding))
    stream.flush()


def style_of(stream: TextIO) -> Style:
    """The style that `stream` supports, subject to NO_COLOR, TERM=dumb and COLUMNS."""
    terminal = stream.isatty()
    try:
        _NEEDED.encode(stream.encoding or "utf-8")
        blocks = True
    except UnicodeEncodeError:
        blocks = False
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    width = shutil.get_terminal_size((PIPED, 24)).columns
    return Style(min(max(width, NARROWEST), WIDEST), blocks, terminal and not plain)


def answer_text(answers: pd.DataFrame, style: Style) -> str:
    """The answers as text, each line within the style's width; it ends with a newline."""
    rows = answers.to_dict("records")
    labels, modalities = labels_of(answers), modalities_of(answers)
    if len(rows) == 1:
        lines = _one(rows[0], labels, modalities, style)
    else:
        lines = _several(rows, labels, modalities, style)
    lines += ["", *_wrapped(f"{len(labels)} labels: {', '.join(map(visible, labels))}", style)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _one(row: dict[str, Any], labels: list[str], modalities: list[str], style: Style) -> list[str]:
    ranked = sorted(labels, key=lambda label: -row[LABEL + label])
    if len(ranked) <= LABELS_SHOWN + 1:
        top, rest = ranked, []
    else:
        top, rest = ranked[:LABELS_SHOWN], ranked[LABELS_SHOWN:]
    bars = [(label, float(row[LABEL + label])) for label in top]
    if rest:
        bars.append((f"{len(rest)} others", float(sum(row[LABEL + label] for label in rest))))
    name_width = min(max(columns(visible(name)) for name, _ in bars), style.width // 3)
    cells = min(BAR, style.width - 2 - name_width - 2 - 8)
    lines = [style.bold(style.fit(row["id"], style.width).rstrip()), ""]
    for name, value in bars:
        line = f"  {style.fit(name, name_width)}  {style.bar(value, cells)}{_percent(value, 1):>8}"
        chosen = name == row["emotion"] and not row["abstained"]
        lines.append(style.bold(line) if chosen else line)
    lines.append("")
    entropy = f"entropy {row['entropy']:.2f} of at most {np.log2(max(len(labels), 1)):.2f} bits"
    best = f"{visible(row['emotion'])}, confidence {_percent(row['confidence'], 1)}"
    reason = "too uncertain" if row["used"] else "nothing could be read"
    said = f"abstained: {reason}; most probable is {best}" if row["abstained"] else best
    lines += _wrapped(f"{said}, {entropy}", style, "  ")
    if "set" in row:
        lines += _wrapped(f"set: {', '.join(map(visible, row['set'])) or 'none'}", style, "  ")
    shares = [f"{m} {_percent(row[SHARE + m])}" for m in modalities if m in row["used"]]
    lines += _wrapped(
        f"decided by: {', '.join(shares) or 'no modality, the prior alone'}", style, "  "
    )
    for modality, reason in row["missing"].items():
        lines += _wrapped(f"missing: {modality} ({visible(reason)})", style, "  ")
    if row.get("text"):
        text = textwrap.shorten(visible(row["text"]), LONGEST_TEXT, placeholder=" ...")
        lines += _wrapped(f"text: {text}", style, "  ")
    return lines


def _several(
    rows: list[dict[str, Any]], labels: list[str], modalities: list[str], style: Style
) -> list[str]:
    emotion = max(columns(visible(label)) for label in labels) + 2  # "? " before an abstention
    emotion = min(emotion, style.width // 3)
    longest = max(columns(visible(row["id"])) for row in rows)
    shares = [max(5, columns(modality)) for modality in modalities]
    left = style.width - emotion - 2 - 5 - 2
    show_shares = left - sum(width + 2 for width in shares) >= min(longest, 16)
    left -= sum(width + 2 for width in shares) if show_shares else 0
    cells = min(24, left - min(longest, 40) - 2)
    cells = cells if cells >= 6 else 0
    name = min(longest, left - (cells + 1 if cells else 0))

    head = f"{style.fit('item', name)}  {style.fit('  emotion', emotion)}"
    head += " " * (cells + 1 if cells else 0) + f"{'':>5}"
    if show_shares:
        head += "".join(f"  {m:>{w}}" for m, w in zip(modalities, shares, strict=True))
    lines = [style.dim(head.rstrip())]
    for row in rows[:ROWS_SHOWN]:
        mark = "? " if row["abstained"] else "  "
        line = f"{style.fit(row['id'], name)}  {style.fit(mark + row['emotion'], emotion)}"
        line += f" {style.bar(row['confidence'], cells)}" if cells else ""
        line += f"{_percent(row['confidence']):>5}"
        if show_shares:
            for modality, width in zip(modalities, shares, strict=True):
                used = modality in row["used"]
                line += f"  {_percent(row[SHARE + modality]) if used else '-':>{width}}"
        lines.append(line)
    return [*lines, "", *_summary(rows, modalities if show_shares else [], style)]


def _summary(rows: list[dict[str, Any]], modalities: list[str], style: Style) -> list[str]:
    """A summary of several items: counts of emotions, abstentions and missing modalities."""
    lines = []
    if len(rows) > ROWS_SHOWN:
        lines += _wrapped(
            f"{len(rows) - ROWS_SHOWN} more items are not shown; out=FILE.csv writes all", style
        )
    given = Counter(row["emotion"] for row in rows if not row["abstained"])
    lines += _wrapped(
        f"{len(rows)} items: " + ", ".join(f"{visible(e)} {n}" for e, n in given.most_common()),
        style,
    )
    for reason, read in (("too uncertain", True), ("nothing could be read", False)):
        if abstained := sum(row["abstained"] and bool(row["used"]) is read for row in rows):
            lines += _wrapped(f"? abstained, {reason}: {abstained}", style)
    reasons = Counter((m, reason) for row in rows for m, reason in row["missing"].items())
    for (modality, reason), count in reasons.most_common():
        mark = "- " if modalities else ""
        lines += _wrapped(f"{mark}missing: {modality} in {count} ({visible(reason)})", style)
    if modalities and any(row["used"] for row in rows):
        lines += _wrapped(f"{', '.join(modalities)}: each modality's share in the decision", style)
    return lines


def _wrapped(text: str, style: Style, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        style.width,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=True,
    )


def _percent(value: float, digits: int = 0) -> str:
    return f"{100 * value:.{digits}f}%" if np.isfinite(value) else "-"


def visible(text: str) -> str:
    """`text` on one line, without characters that would steer a terminal."""
    return "".join("\ufffd" if unicodedata.category(c)[0] == "C" else c for c in str(text))


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes: two for East Asian wide characters, none for
    combining marks."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )

"""Writes a page as LaTeX: one float that needs the packages booktabs and graphicx.

Returns text. Used by report/render.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from meld_lightning.report.page import VERDICTS, Page

ESCAPED = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "±": r"$\pm$",
        "—": "---",
        "≤": r"$\leq$",
        "`": "",
        **{chr(code): "" for code in (*range(32), *range(127, 160))},
        **dict.fromkeys("\t\n\r\u2028\u2029", " "),
    }
)


def page_latex(page: Page) -> str:
    """table.tex of a table."""
    lines = ["% needs \\usepackage{booktabs,graphicx}", r"\begin{table}", r"\centering"]
    label = f"tab:{page.name.replace('_', '-')}"
    lines.append(rf"\caption{{{_escaped(page.title)}}}\label{{{label}}}")
    for grid in page.grids:
        lines += [rf"\par\medskip {_escaped(grid.caption)}"] if grid.caption else []
        lines += [
            r"\par\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (len(grid.headers) - 1)}}}",
            r"\toprule",
            _line(grid.headers),
            r"\midrule",
            *map(_line, grid.rows),
            r"\bottomrule",
            r"\end{tabular}}",
        ]
    verdicts = [f"{VERDICTS} {'; '.join(page.verdicts)}."] if page.verdicts else []
    for text in (page.study_note, *page.remarks, *verdicts, *page.notes):
        lines.append(rf"\par\smallskip\footnotesize {_escaped(text)}")
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _line(texts: Sequence[str]) -> str:
    # braces, because the \\ before a line would take its leading [ for an optional argument
    return (
        " & ".join(
            f"{{{_escaped(text)}}}" if text.startswith("[") else _escaped(text) for text in texts
        )
        + r" \\"
    )


def _escaped(text: str) -> str:
    return text.translate(ESCAPED)

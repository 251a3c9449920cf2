"""The part of the corpus report on readers' votes: how many rows were joined, and how many labels
are those of readers of the text alone.

Reads the table and what emotionlines.py joined; writes nothing. load.py adds it to the report,
markdown.py prints it. It contains counts, never the votes of a row.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from meld_lightning.corpus.emotionlines import LEVELS, VOTED, JoinedVotes, agreement
from meld_lightning.corpus.labels import SPLITS
from meld_lightning.corpus.report.grid import grid
from meld_lightning.corpus.report.quirks import per_split

MAJORITY = LEVELS[:-1]  # the levels at which three or more readers agree
NAMES = {
    **{level: f"{level} of 5 agree" for level in MAJORITY},
    "tie": "no majority: fewer than 3 agree",
}
LICENCE = (
    "`corpus.parquet` in this folder holds EmotionLines' votes row by row. Their licence (CC"
    " BY-NC-ND 4.0) does not allow anything joined with them to be passed on: keep that file to"
    " yourself, and publish counts and scores alone."
)


def votes_report(table: pd.DataFrame, joined: JoinedVotes) -> dict[str, Any]:
    """{joined, ambiguous, not_found: {split: rows}, other_lines, agreement: {level: {split: {rows,
    labels}}}}. labels: the rows whose label is an emotion with most
    votes, of which there may be several."""
    has_N = joined.votes_NC.any(1)
    level_N = agreement(joined.votes_NC)
    place = {name: index for index, name in enumerate(VOTED)}
    top_N = [
        emotion in place and bool(votes_C[place[emotion]] == votes_C.max() > 0)
        for emotion, votes_C in zip(table["emotion"], joined.votes_NC, strict=True)
    ]
    splits = table["split"]
    levels = {}
    for level in LEVELS:
        rows = per_split(splits[level_N == level])
        labels = per_split(splits[(level_N == level) & top_N])
        levels[level] = {split: {"rows": rows[split], "labels": labels[split]} for split in SPLITS}
    return {
        "joined": per_split(splits[has_N]),
        "ambiguous": per_split(splits[joined.ambiguous_N]),
        "not_found": per_split(splits[~has_N & ~joined.ambiguous_N]),
        "other_lines": joined.other_lines,
        "agreement": levels,
    }


def readers_labels(report: Mapping[str, Any], split: str) -> tuple[int, int]:
    """Of the rows where three or more readers agree: how many have their label, and how many there
    are."""
    found = [report["agreement"][level][split] for level in MAJORITY]
    return sum(one["labels"] for one in found), sum(one["rows"] for one in found)


def render_votes(report: Mapping[str, Any]) -> list[str]:
    """The section on votes as paragraphs of Markdown."""
    rows = [
        (text, *(str(report[name][split]) for split in SPLITS))
        for name, text in (
            ("joined", "rows joined with the line that their readers saw"),
            ("ambiguous", "rows not joined: several dialogues fit"),
            ("not_found", "rows not joined: not among EmotionLines' lines"),
        )
    ]
    shares = [
        (
            NAMES[level],
            *(f"{one['labels']} of {one['rows']}" for one in (of_split[s] for s in SPLITS)),
        )
        for level, of_split in report["agreement"].items()
    ]
    return [
        "## Readers' votes",
        LICENCE,
        grid(("utterances", *SPLITS), rows)
        + f"\n\nLines of EmotionLines without a row: {report['other_lines']}.",
        "\n".join(_finding(report, split) for split in SPLITS),
        "Rows whose label is an emotion with most votes, of which there may be two:",
        grid(("readers", *SPLITS), shares),
    ]


def _finding(report: Mapping[str, Any], split: str) -> str:
    labels, rows = readers_labels(report, split)
    joined = report["joined"][split]
    if not rows:
        return f"- {split}: three or more readers agree in none of {joined} rows."
    return (
        f"- {split}: three or more of the people who read the text alone agree in {rows} of"
        f" {joined} rows ({rows / joined:.1%}), and the label is theirs in {labels} of these"
        f" ({labels / rows:.1%})."
    )

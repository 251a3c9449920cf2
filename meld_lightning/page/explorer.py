"""What the page's explorer shows of an utterance beside predictions: readers' votes and clips.

Reads the prepared corpus and the decoded clips, where they are at hand; writes nothing. Used by
page/write.py; read by the page's clips.js. Votes are written into the page alone and never into
experiments/, because their licence forbids passing them on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meld_lightning.corpus.emotionlines import votes_of
from meld_lightning.page.clips import ClipData, clip_data
from meld_lightning.page.predictions import UtteranceSet, packed
from meld_lightning.page.study_report import StudyReport

PREPARE = "run: meld-lightning prepare, and then this report, with the same corpus keys"


@dataclass(frozen=True)
class ExplorerData:
    """votes, clips: one entry for each utterance set; None where there is nothing to show.

    votes: numbers of readers (N, K), in the order of the set's labels, as base64 of uint8.
    left_out: sentences that say what is not shown, why, and how to show it.
    """

    votes: list[str | None]
    clips: list[ClipData | None]
    left_out: list[str]


def explorer_data(report: StudyReport, sets: Sequence[UtteranceSet]) -> ExplorerData:
    """Votes and clips of the utterance sets that page/predictions.py made."""
    known = [_rows(report, one.keys) for one in sets]
    votes = [_votes(report, one, rows) for one, rows in zip(sets, known, strict=True)]
    clips = [clip_data(report.media, rows) if report.media and rows else None for rows in known]
    return ExplorerData(votes, clips, _left_out(report, any(known)))


def _rows(report: StudyReport, keys: Sequence[str]) -> list[int]:
    """Each utterance's row in the corpus table; empty if the corpus lacks any of them."""
    if report.corpus is None:
        return []
    places = {key: row for row, key in enumerate(report.corpus.table["key"])}
    return [places[key] for key in keys] if set(keys) <= set(places) else []


def _votes(report: StudyReport, one: UtteranceSet, rows: Sequence[int]) -> str | None:
    if report.corpus is None or not rows:
        return None
    votes_NK = votes_of(report.corpus.table, one.labels)
    return None if votes_NK is None else packed(votes_NK[rows])


def _left_out(report: StudyReport, known: bool) -> list[str]:
    if not known:
        return [
            "Texts, speakers, frames and sound are left out, because the corpus is not prepared"
            f" here. To add them, {PREPARE}."
        ]
    if report.media is not None:
        return []
    if report.material.study.get("show_clips", False):
        return [
            f"Frames and sound are left out, because clips are not decoded here. To add them,"
            f" {PREPARE}."
        ]
    return [
        "Frames and sound are left out. study.show_clips=true adds them, for corpora whose licence"
        " lets you keep clips in a page."
    ]

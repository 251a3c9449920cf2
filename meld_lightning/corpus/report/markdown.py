"""Renders the corpus report as Markdown.

Reads the data that build.py makes; writes nothing. Used by prepared.py for report.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meld_lightning.corpus.labels import SPLITS
from meld_lightning.corpus.report.grid import cell, grid
from meld_lightning.corpus.report.published import differs_from_published
from meld_lightning.corpus.report.votes import render_votes

SHOWN = 20  # rows listed per reason; report.json lists all
TABLE_01 = {
    "paper": "as printed in the paper",
    "official": "rows of the published CSV files",
    "found": "this corpus",
}
QUIRKS = {
    "repaired_rows": "rows with legacy (cp1252) characters, repaired",
    "look_alikes": "rows with names or text in another spelling that looks the same, unified",
    "rows_with_controls_left": "rows with a control character that could not be repaired",
    "missing_utterance_ids": "missing utterance ids within dialogues",
    "dialogues_missing_utterance_ids": "dialogues with missing utterance ids",
    "missing_dialogue_ids": "missing dialogue ids",
    "dialogue_also_in_train": "rows whose dialogue is also in train",
    "speaker_also_in_train": "rows whose speaker is also in train",
    "left_out_for_test": "rows left out because test contains their unit (corpus.split)",
    "emotion_not_in_train": "rows whose emotion does not occur in train",
    "dialogues_with_decreasing_starts": "dialogues with a start time earlier than the previous one",
    "rows_starting_earlier": "rows that start before the previous row",
    "rows_sharing_times": "rows with the same start and end as another row",
    "end_before_start": "rows that end before they start",
    "zero_length": "rows of zero length",
    "overlong": "rows longer than 30 s",
    "under_100_ms": "rows shorter than 0.1 s, but not of zero length",
    "under_200_ms": "rows shorter than 0.2 s, including those above",
    "under_1_s": "rows shorter than 1 s, including those above",
    "spoken_by_all": 'rows whose speaker is "All"',
    "spoken_by_several": "rows with two or more speakers",
    "speaker_unseen_in_train": "rows whose speaker does not occur in train",
    "texts_under_two_labels": (
        "distinct texts with more than one emotion (ignoring case and punctuation)"
    ),
    "empty_texts": "rows without text",
    "episodes": "episodes",
    "episodes_shared_with_train": "episodes that also occur in train",
    "rows_overlapping_train": "rows that overlap a train row of their episode by more than 0.5 s",
}
CLIPS = {
    "found": "clips found",
    "rows_without_clip": "rows without a clip",
    "clips_without_row": "clips without a row",
    "recuts_used": "corrected clips used in place of the originals",
    "stubs_skipped": "AppleDouble files skipped",
    "empty": "empty clips (0 bytes)",
    "copies": "clips found more than once (the first is used)",
    # by MELD-FAIR's realignment, in rows (readers/realignment.py)
    "moved": "realigned: another clip, which holds most of the speech",
    "dropped": "realigned: no clip, since none holds the speech",
    "kept": "realigned: the same clip",
    "recut": "realigned: MELD's corrected clip, which the realignment does not know",
    "unmapped": "realigned: the same clip, since the realignment does not name the row",
}
SPLIT_FACTS = {
    "utterances": "utterances",
    "dialogues": "dialogues",
    "dialogues_of_one": "dialogues with a single utterance",
    "turns_median": "utterances per dialogue, median",
    "turns_max": "utterances per dialogue, maximum",
    "speakers": "speakers",
    "words_median": "words per utterance, median",
    "words_p99": "words per utterance, 99th percentile",
    "words_max": "words per utterance, maximum",
    "hours": "hours, by start and end times",
}
MODALITIES = {"frames": "frames", "audio": "sound", "faces": "faces"}


def render_report(report: dict[str, Any], media: Mapping[str, Any] | None = None) -> str:
    """`report` (see build_report) and the outcome of decoding (see media_report) as a Markdown
    document."""
    parts = [
        f"# Corpus report: {report['corpus']}",
        *_introduction(report),
        "## Size (Table 1)",
        _table_01(report),
        "## Splits",
        grid(
            ("", *SPLITS),
            [
                (text, *(_shown(report["splits"][split][name]) for split in SPLITS))
                for name, text in SPLIT_FACTS.items()
            ],
        ),
        "## Class balance",
        _balance("emotion", report["emotions"]),
    ]
    if any(report["sentiments"].values()):
        parts.append(_balance("sentiment", report["sentiments"]))
    parts += [
        *(render_votes(report["votes"]) if "votes" in report else []),
        "## Irregularities",
        "Counts by split. Rows are kept as they are, except for repaired characters and for"
        " rows left out because of corpus.test, if any.",
        _counts(report["quirks"], QUIRKS),
        "## Clips",
        *_clips(report["clips"]),
        *(render_media(media) if media else []),
        "## Doubtful rows",
        *_doubts(report["rows"]),
        "## Sources",
        grid(
            ("file", "bytes", "sha256"),
            [
                (source["name"], str(source["size"]), source["sha256"])
                for source in report["sources"]
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(report: dict[str, Any]) -> list[str]:
    parts = [report["note"]] if report["note"] else []
    best = report["optimum"]
    if best:
        parts.append(
            "The labels were drawn at random, so the best possible accuracy is known: its expected"
            " value and, in brackets, its value on the labels drawn."
        )
        rows = [
            (
                name,
                *(
                    f"{best[split][name]['expected']:.3f} ({best[split][name]['realised']:.3f})"
                    for split in SPLITS
                ),
            )
            for name in best["test"]
        ]
        parts.append(grid(("modality", *SPLITS), rows))
    if report["assumed"]:
        parts.append("\n".join(f"- {cell(line)}" for line in report["assumed"]))
    if report["ignored_columns"]:
        parts.append(f"Columns that are not used: {', '.join(report['ignored_columns'])}.")
    return parts


def _table_01(report: dict[str, Any]) -> str:
    rows = [
        (TABLE_01[name], *(str(counts[split]) for split in SPLITS))
        for name, counts in report["table_01"].items()
        if counts
    ]
    note = differs_from_published(report)
    return grid(("utterances", *SPLITS), rows) + (f"\n\n{note}" if note else "")


def _balance(target: str, counts: dict[str, dict[str, int]]) -> str:
    totals = {split: max(1, sum(counts[split].values())) for split in SPLITS}
    rows = [
        (
            label,
            *(
                f"{counts[split][label]} ({counts[split][label] / totals[split]:.1%})"
                for split in SPLITS
            ),
        )
        for label in counts["train"]
    ]
    return grid((target, *SPLITS), rows)


def _counts(counts: dict[str, dict[str, int]], names: dict[str, str]) -> str:
    return grid(
        ("", *SPLITS),
        [
            (text, *(str(counts[name].get(split, "-")) for split in SPLITS))
            for name, text in names.items()
            if name in counts
        ],
    )


def _clips(clips: dict[str, Any]) -> list[str]:
    if not clips["any"] and not clips["without_row"]:
        return ["No clips were found: the corpus is text only."]
    parts = [_counts(clips["counts"], CLIPS)]
    for name, text in (
        ("without_row", "Clips without a row"),
        ("of_no_split", "Clips in folders whose names do not say which split they belong to"),
    ):
        if clips[name]:
            parts.append(f"{text}: {_some(clips[name])}.")
    return parts


def render_media(media: Mapping[str, Any]) -> list[str]:
    """Utterances with frames and with sound, and the others by reason."""
    rows = [
        (f"with {MODALITIES[kind]}", *(str(counts[split]) for split in SPLITS))
        for kind, counts in media["counts"].items()
    ]
    parts = ["## Decoded clips", grid(("utterances", *SPLITS), rows)]
    if media["rows"]:
        wanted = "frames, faces or sound" if "faces" in media["counts"] else "frames or sound"
        parts.append(f"Utterances without {wanted}, by reason:")
        parts.append(
            _by_reason(
                (f"no {MODALITIES[row['modality']]}: {row['reason']}", row["key"])
                for row in media["rows"]
            )
        )
    if media["repaired"]:
        parts.append("Sound with samples that are not finite, which were replaced by silence:")
        repaired = [
            f"{row['key']} ({row['not_finite']} of {row['decoded']} samples)"
            for row in media["repaired"]
        ]
        parts.append(f"{_some(repaired)}.")
    if media["silent"]:
        parts.append(f"Sound that is silent throughout; it was kept: {_some(media['silent'])}.")
    if media["lost"]:
        parts += _lost(media["lost"])
    return parts


def _lost(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The tracks that lost packets, frames or their end; all of the doubtful ones by name."""
    listed = [(_loss(row), f"{row['key']} ({MODALITIES[row['modality']]})") for row in rows]
    parts = ["Clips that lost a part of their frames or sound; the rest was kept:"]
    parts.append("\n".join(f"- {cell(key)}: {loss}" for loss, key in listed[:SHOWN]))
    if len(listed) > SHOWN:
        parts.append(f"And {len(listed) - SHOWN} more (all are in media.json).")
    doubtful = list(dict.fromkeys(row["key"] for row in rows if row["doubtful"]))
    if doubtful:
        names = "; ".join(cell(key) for key in doubtful)
        parts.append(
            f"**Doubtful**, because more than a tenth of a track or its end is lost: {names}."
        )
    return parts


def _loss(row: Mapping[str, Any]) -> str:
    """What one track lost, in words."""
    found = []
    if row["dropped"]:
        found.append(f"{row['dropped']} of {row['packets']} packets cannot be decoded")
    if row["damaged"]:
        found.append(f"{row['damaged']} frames have decoding errors")
    if row["cut"]:
        found.append(f"cut short: {row['cut']}")
    return ", ".join(found)


def _doubts(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["None."]
    kept = len({row["key"] for row in rows})
    return [
        f"{kept} rows look wrong and were kept. By reason:",
        _by_reason(
            (row["reason"], f"{row['key']} ({row['detail']})" if row["detail"] else row["key"])
            for row in rows
        ),
    ]


def _by_reason(listed: Iterable[tuple[str, str]]) -> str:
    """A list of (reason, row) with one item per reason."""
    by_reason: dict[str, list[str]] = {}
    for reason, row in listed:
        by_reason.setdefault(reason, []).append(row)
    return "\n".join(
        f"- **{reason}** ({len(rows)}): {_some(rows)}."
        for reason, rows in sorted(by_reason.items())
    )


def _some(listed: Sequence[str]) -> str:
    more = (
        f"; and {len(listed) - SHOWN} more (all are in report.json)" if len(listed) > SHOWN else ""
    )
    return "; ".join(cell(item) for item in listed[:SHOWN]) + more


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:g}"

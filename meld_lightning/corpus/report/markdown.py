"""The corpus report as Markdown.

Reads the plain data that report.py makes; used by prepare.py for report.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meld_lightning.corpus.labels import SPLITS

SHOWN = 20  # rows listed for each reason; report.json lists all
QUIRKS = {
    "repaired_rows": "rows with legacy (cp1252) characters repaired",
    "rows_with_controls_left": "rows with a control character left",
    "missing_utterance_ids": "utterance ids missing inside dialogues",
    "dialogues_missing_utterance_ids": "dialogues with such gaps",
    "missing_dialogue_ids": "dialogue ids missing",
    "dialogue_also_in_train": "rows whose dialogue is also in train",
    "speaker_also_in_train": "rows whose speaker is also in train",
    "left_out_for_test": "rows in no split, as test holds others of their speaker, dialogue or id",
    "emotion_not_in_train": "rows whose emotion is never in train",
    "dialogues_with_decreasing_starts": "dialogues with a decreasing start time",
    "rows_starting_earlier": "rows that start before the row preceding them",
    "rows_sharing_times": "rows sharing both times with another",
    "end_before_start": "rows ending before they start",
    "zero_length": "rows of zero length",
    "overlong": "rows over 30 s",
    "under_100_ms": "rows over zero and under 0.1 s",
    "under_200_ms": "rows under 0.2 s, shorter ones included",
    "under_1_s": "rows under 1 s, shorter ones included",
    "spoken_by_all": 'rows spoken by "All"',
    "spoken_by_several": "rows spoken by a pair or more",
    "speaker_unseen_in_train": "rows whose speaker never speaks in train",
    "texts_under_two_labels": (
        "distinct texts under two emotions (letter case and punctuation aside)"
    ),
    "empty_texts": "rows without text",
    "episodes": "episodes",
    "episodes_shared_with_train": "episodes that train shows too",
    "rows_overlapping_train": "rows overlapping a train row of their episode by over 0.5 s",
}
CLIPS = {
    "found": "clips found",
    "rows_without_clip": "rows without a clip",
    "clips_without_row": "clips without a row",
    "recuts_used": "corrected re-cuts used instead of the plain clip",
    "stubs_skipped": "AppleDouble stubs skipped",
    "empty": "empty clips (0 bytes)",
    "copies": "clips present more than once (the first is used)",
}
SPLIT_FACTS = {
    "utterances": "utterances",
    "dialogues": "dialogues",
    "dialogues_of_one": "dialogues of one turn",
    "turns_median": "turns, median",
    "turns_max": "turns, most",
    "speakers": "speakers",
    "words_median": "words, median",
    "words_p99": "words, 99th percentile",
    "words_max": "words, most",
    "hours": "hours by the times given",
}


def render_report(report: dict[str, Any], media: Mapping[str, Any] | None = None) -> str:
    """`report` (see build_report) and what became of the clips (see media_report), as a Markdown
    document."""
    parts = [
        f"# Corpus report: {report['corpus']}",
        *_origin(report),
        "## Size (Table 1)",
        _table_01(report),
        "## Splits",
        _table(
            ("", *SPLITS),
            [
                (text, *(_shown(report["splits"][split][name]) for split in SPLITS))
                for name, text in SPLIT_FACTS.items()
            ],
        ),
        "## Class balance",
        _balance(report["emotions"]),
    ]
    if any(report["sentiments"].values()):
        parts.append(_balance(report["sentiments"]))
    parts += [
        "## Quirks",
        _counts(report["quirks"], QUIRKS),
        "## Clips",
        *_clips(report["clips"]),
        *(_media(media) if media else []),
        "## Dropped and doubtful rows",
        *_rows(report["rows"]),
        "## Sources",
        _table(
            ("file", "bytes", "sha256"),
            [tuple(map(str, source.values())) for source in report["sources"]],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _origin(report: dict[str, Any]) -> list[str]:
    lines = []
    if report["is_mini"]:
        lines.append(
            "This is the project's own mini corpus. Its numbers show that the machine works; "
            "they say nothing about MELD."
        )
        lines.append(
            "The best accuracy that each modality allows (expected, and on the labels drawn):"
        )
        best = report["optimum"]
        rows = [
            (
                name,
                *(
                    f"{best[split][name]['expected']:.3f}, {best[split][name]['realised']:.3f}"
                    for split in SPLITS
                ),
            )
            for name in best["test"]
        ]
        lines.append(_table(("", *SPLITS), rows))
    if report["ignored_columns"]:
        lines.append(f"Columns that nothing reads: {', '.join(report['ignored_columns'])}.")
    return lines


def _table_01(report: dict[str, Any]) -> str:
    names = {"paper": "the paper, as printed", "official": "official rows", "found": "found here"}
    if report["is_mini"]:
        names["found"] = "the mini corpus"
    rows = [
        (names[name], *(str(counts[split]) for split in SPLITS))
        for name, counts in report["table_01"].items()
        if counts
    ]
    found, official = report["table_01"]["found"], report["table_01"]["official"] or {}
    off = [
        f"{split} has {found[split]} rows, not {count}"
        for split, count in official.items()
        if found[split] != count
    ]
    note = (
        f"\n\nNot MELD as published: {'; '.join(off)}. A file cut short at the end of a row looks"
        " like this."
        if off
        else ""
    )
    return _table(("utterances", *SPLITS), rows) + note


def _balance(counts: dict[str, dict[str, int]]) -> str:
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
    return _table(("label", *SPLITS), rows)


def _counts(counts: dict[str, dict[str, int]], names: dict[str, str]) -> str:
    return _table(
        ("", *SPLITS),
        [
            (text, *(str(counts[name].get(split, "-")) for split in SPLITS))
            for name, text in names.items()
            if name in counts
        ],
    )


def _clips(clips: dict[str, Any]) -> list[str]:
    if not clips["any"] and not clips["without_row"]:
        return ["None found: this is a corpus of text."]
    parts = [_counts(clips["counts"], CLIPS)]
    for name, text in (
        ("without_row", "Clips without a row"),
        ("of_no_split", "Clips whose folders name no split"),
    ):
        if clips[name]:
            parts.append(f"{text}: {_some(clips[name])}.")
    return parts


def _media(media: Mapping[str, Any]) -> list[str]:
    """Utterances with frames and with sound, and every one without, by reason."""
    rows = [
        (f"with {modality}", *(str(counts[split]) for split in SPLITS))
        for modality, counts in media["counts"].items()
    ]
    parts = ["## Decoded", _table(("utterances", *SPLITS), rows)]
    by_reason: dict[str, list[str]] = {}
    for row in media["rows"]:
        by_reason.setdefault(f"no {row['modality']}: {row['reason']}", []).append(row["key"])
    return parts + [
        f"**{reason}** ({len(keys)}): {_some(keys)}." for reason, keys in sorted(by_reason.items())
    ]


def _rows(rows: Sequence[dict[str, Any]]) -> list[str]:
    dropped = sum(row["dropped"] for row in rows)
    parts = [
        f"{dropped} rows dropped, {len({row['key'] for row in rows if not row['dropped']})} kept"
        " and in doubt."
    ]
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        by_reason.setdefault(row["reason"], []).append(
            f"{row['key']} ({row['detail']})" if row["detail"] else row["key"]
        )
    for reason, listed in sorted(by_reason.items()):
        parts.append(f"**{reason}** ({len(listed)}): {_some(listed)}.")
    return parts


def _some(listed: Sequence[str]) -> str:
    more = (
        f"; and {len(listed) - SHOWN} more (report.json lists all)" if len(listed) > SHOWN else ""
    )
    return "; ".join(_cell(item) for item in listed[:SHOWN]) + more


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(_cell(str(cell)) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:g}"

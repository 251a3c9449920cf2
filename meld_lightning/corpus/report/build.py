"""Builds the corpus report: sizes, class balance, counts of quirks, and every doubtful row with its
reason.

Reads the table, the sources and the sizes of clips; writes nothing. load.py calls it; prepared.py
stores the result as report.json and, through markdown.py, as report.md. Studies copy its Table 1,
class balance and optimum. It contains keys and counts, never utterances.
"""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from meld_lightning.corpus.labels import EMOTIONS, SENTIMENTS, SPLITS, ordered
from meld_lightning.corpus.readers.layout import Found
from meld_lightning.corpus.readers.meld_files import Clips
from meld_lightning.corpus.report import quirks
from meld_lightning.corpus.report.missing import files_of
from meld_lightning.storage.fingerprint import file_digest


def build_report(name: str, layout: str, found: Found) -> dict[str, Any]:
    """The report of a corpus as JSON-able data.

    Keys: corpus, layout, note and assumed (see Found), is_mini (whether the data is synthetic),
    optimum (see Found), table_01 {paper, official, found: {split: utterances}}, splits {split:
    facts}, emotions and sentiments {split: {label: rows}}, quirks {name: {split: rows}}, clips,
    rows [{key, reason, detail}], files (see files_of), ignored_columns, sources [{name, size,
    sha256}].
    """
    table = found.table
    counts = {split: int((table["split"] == split).sum()) for split in SPLITS}
    quirk_counts, doubts = _quirks(found)
    clips, clip_doubts = _clips(found)
    order = {key: number for number, key in enumerate(table["key"])}
    rows = sorted(doubts + clip_doubts, key=lambda doubt: order.get(doubt[0], len(order)))
    return {
        "corpus": name,
        "layout": layout,
        "note": found.note,
        "assumed": list(found.assumed),
        "is_mini": found.optimum is not None,
        "table_01": {"paper": found.paper, "official": found.official, "found": counts},
        "splits": {split: _split(table[table["split"] == split]) for split in SPLITS},
        "emotions": _balance(table, "emotion", EMOTIONS),
        "sentiments": _balance(table, "sentiment", SENTIMENTS),
        "quirks": quirk_counts,
        "clips": clips,
        "rows": [{"key": key, "reason": reason, "detail": detail} for key, reason, detail in rows],
        "files": files_of(found),
        "ignored_columns": list(found.ignored_columns),
        "optimum": found.optimum,
        "sources": [
            {
                "name": Path(os.path.relpath(source, found.folder)).as_posix(),
                "size": source.stat().st_size,
                "sha256": file_digest(source),
            }
            for source in found.sources
        ],
    }


def _split(rows: pd.DataFrame) -> dict[str, Any]:
    words = rows["text"].str.split().str.len()
    turns = rows["dialogue_id"].dropna().value_counts()
    speakers = rows["speaker"].dropna()
    seconds = float((rows["end_s"] - rows["start_s"]).sum())
    return {
        "utterances": len(rows),
        "dialogues": len(turns),
        "dialogues_of_one": int((turns == 1).sum()),
        "turns_median": float(turns.median()) if len(turns) else None,
        "turns_max": int(turns.max()) if len(turns) else None,
        "speakers": int(speakers.nunique()),
        "words_median": float(words.median()) if len(rows) else None,
        "words_p99": float(words.quantile(0.99)) if len(rows) else None,
        "words_max": int(words.max()) if len(rows) else None,
        "hours": round(seconds / 3600, 3),
    }


def _balance(table: pd.DataFrame, column: str, known: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """split -> label -> number of rows."""
    counts = table.groupby("split")[column].value_counts()
    return {
        split: {
            label: int(counts.get((split, label), 0))
            for label in ordered(table[column].dropna(), known)
        }
        for split in SPLITS
    }


def _quirks(found: Found) -> tuple[dict[str, quirks.Counts], list[quirks.Doubt]]:
    table = found.table
    repaired = table.loc[[number > 0 for number in found.repaired], "split"]
    counts: dict[str, quirks.Counts] = {"repaired_rows": quirks.per_split(repaired)}
    if found.cleaned:
        counts["look_alikes"] = quirks.per_split(table.loc[list(found.cleaned), "split"])
    doubts: list[quirks.Doubt] = []
    if found.numbered:
        counts |= quirks.id_quirks(table)
    else:
        counts |= _strays(table)
        counts["left_out_for_test"] = {"train": found.left_out} if found.left_out else {}
    for count in (
        quirks.time_quirks,
        quirks.speaker_quirks,
        quirks.text_quirks,
        quirks.overlap_quirks,
    ):
        more, doubtful = count(table)
        counts |= more
        doubts += doubtful
    return counts, doubts


def _strays(table: pd.DataFrame) -> dict[str, quirks.Counts]:
    """Rows of val and test whose dialogue or speaker is in train too, or whose label is not."""
    train = table[table["split"] == "train"]
    others = table[table["split"] != "train"]
    counts = {}
    for name, column, wanted in (
        ("dialogue_also_in_train", "dialogue_id", True),
        ("speaker_also_in_train", "speaker", True),
        ("emotion_not_in_train", "emotion", False),
    ):
        mark = others[column].notna() & (others[column].isin(set(train[column].dropna())) == wanted)
        counts[name] = quirks.per_split(others.loc[mark, "split"])
    return counts


def _clips(found: Found) -> tuple[dict[str, Any], list[quirks.Doubt]]:
    table, clips, root = found.table, found.clips or Clips(), found.folder
    doubts = [(one.key, one.reason, f"{one.column} {one.named}") for one in found.missing]
    gone = {one.key for one in found.missing}
    have = table["clip"].notna()
    empty = [
        (str(row.key), "empty clip (0 bytes)", _name(Path(str(row.clip)), root))
        for row in table[have].itertuples()
        if Path(str(row.clip)).stat().st_size == 0
    ]
    doubts += empty
    if have.any() and found.clips is not None:  # a corpus without any clips is just text
        doubts += [(key, "no clip", "") for key in table.loc[~have, "key"] if key not in gone]
    keys = set(table["key"])
    extra = sorted(
        key for key in (f"{split}/dia{d}_utt{u}" for split, d, u in clips.files) if key not in keys
    )
    recuts = [key for key in clips.recuts if f"{key[0]}/dia{key[1]}_utt{key[2]}" in keys]
    counts = {
        "found": _by_split(key[0] for key in clips.files)
        if found.clips
        else quirks.per_split(table.loc[have, "split"]),
        "rows_without_clip": quirks.per_split(table.loc[~have, "split"]),
        "clips_without_row": _by_split(key.split("/")[0] for key in extra),
        "recuts_used": _by_split(key[0] for key in recuts),
        "stubs_skipped": dict(clips.stubs),
        "empty": _by_split(doubt[0].split("/")[0] for doubt in empty) if found.clips else {},
        "copies": _by_split(key[0] for key in clips.copies),
        **(found.realigned or {}),
    }
    return {
        "any": bool(have.any()),
        "counts": counts,
        "without_row": extra,
        "of_no_split": [_name(path, root) for path in clips.unplaced],
    }, doubts


def _by_split(splits: Any) -> quirks.Counts:
    return quirks.per_split(pd.Series(list(splits), dtype="str"))


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name

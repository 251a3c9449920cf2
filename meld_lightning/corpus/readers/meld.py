"""The "meld" layout: {train,dev,test}_sent_emo.csv and perhaps clips, below one folder.

Reads the CSV files and folder listings; decodes no media. Used by loading.py. MELD's "dev" is
called val from here on.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from meld_lightning.corpus.labels import EMOTIONS, SENTIMENTS
from meld_lightning.corpus.readers.csv_records import (
    Record,
    choice,
    milliseconds,
    read_records,
    whole,
)
from meld_lightning.corpus.readers.meld_files import Clips, files_below, find_clips, find_csvs
from meld_lightning.corpus.table import typed
from meld_lightning.errors import UserError

REQUIRED = (
    "Utterance",
    "Speaker",
    "Emotion",
    "Sentiment",
    "Dialogue_ID",
    "Utterance_ID",
    "Season",
    "Episode",
    "StartTime",
    "EndTime",
)


@dataclass(frozen=True)
class Found:
    """What a layout's reader hands to loading.py.

    repaired: the number of characters mended, per row of the table.
    missing: (key, "column value") of each file that a row names and that is not there.
    ignored: columns that nothing reads.
    left_out: rows that are in no split, since test holds others of their unit.
    """

    table: pd.DataFrame
    sources: tuple[Path, ...]
    repaired: list[int]
    clips: Clips | None = None
    missing: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    left_out: int = 0


def read_meld(root: Path) -> Found:
    """Every row of MELD's three CSV files below `root`, in file order, train before val before
    test."""
    if not root.is_dir():
        raise UserError(_no_folder(root))
    files = files_below(root)
    csvs = find_csvs(root, files)
    clips = find_clips(root, files)
    rows: list[dict[str, object]] = []
    repaired: list[int] = []
    for split, path in csvs.items():
        first: dict[object, int] = {}
        for record in read_records(path, REQUIRED):
            row = _row(split, record, clips)
            if row["key"] in first:
                raise UserError(
                    f"{record.where}: dialogue {row['dialogue_id']}, utterance"
                    f" {row['utterance_id']} already stands in row {first[row['key']]}; remove one"
                    " of the two"
                )
            first[row["key"]] = record.row
            rows.append(row)
            repaired.append(record.repaired)
    return Found(typed(pd.DataFrame(rows)), tuple(csvs.values()), repaired, clips)


def _row(split: str, record: Record, clips: Clips) -> dict[str, object]:
    dialogue, utterance = whole(record, "Dialogue_ID"), whole(record, "Utterance_ID")
    clip = clips.files.get((split, dialogue, utterance))
    return {
        "key": f"{split}/dia{dialogue}_utt{utterance}",
        "split": split,
        "dialogue_id": dialogue,
        "utterance_id": utterance,
        "speaker": record.fields["Speaker"].strip(),
        "text": record.fields["Utterance"],
        "emotion": choice(record, "Emotion", EMOTIONS),
        "sentiment": choice(record, "Sentiment", SENTIMENTS),
        "start_s": milliseconds(record, "StartTime") / 1000,
        "end_s": milliseconds(record, "EndTime") / 1000,
        "season": whole(record, "Season"),
        "episode": whole(record, "Episode"),
        "clip": None if clip is None else str(clip),
        "unit": f"{split}/dia{dialogue}",
    }


def _no_folder(root: Path) -> str:
    if root.is_file():
        return (
            f"{root}: is a file; unpack it if it is an archive, and give the folder that holds the"
            " *_sent_emo.csv files"
        )
    parent = next((folder for folder in root.parents if folder.is_dir()), None)
    near = f" ({parent} exists)" if parent else ""
    return (
        f"{root}: no such folder{near}; give the folder into which MELD was unpacked as corpus.root"
    )

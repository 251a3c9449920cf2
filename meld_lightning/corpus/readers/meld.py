"""The layout "meld": {train,dev,test}_sent_emo.csv, and perhaps clips, at any depth below one
folder.

Reads the CSV files and lists folders; decodes no media. Used by load.py and, for the mini corpus,
by mini/reader.py.
"""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from meld_lightning.corpus.labels import EMOTIONS, SENTIMENTS
from meld_lightning.corpus.readers.clip_files import MissingFile
from meld_lightning.corpus.readers.csv_records import Record, cleaned, read_records
from meld_lightning.corpus.readers.layout import Found, ReadRequest
from meld_lightning.corpus.readers.meld_files import Clips, files_below, find_clips, find_csvs
from meld_lightning.corpus.readers.realignment import (
    ClipMap,
    Realigned,
    read_clip_map,
    realigned_files,
)
from meld_lightning.corpus.readers.times import milliseconds
from meld_lightning.corpus.readers.values import choice, whole
from meld_lightning.corpus.table import typed
from meld_lightning.errors import UserError

COLUMNS = (
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
# what to do about a file of MELD's name that lacks one of them
NOT_MELDS = (
    "; it is not the file that MELD's authors publish: get that with meld-lightning fetch"
    " clips=false, or read a table of your own with corpus=manifest corpus.root=FILE"
)
NAMES = ("Speaker", "Emotion", "Sentiment")
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")

VERSION = 2

# As the paper prints them (its Table 1). 1112 is the number of dev clips, and 4807 is about the
# number of test clips plus AppleDouble stubs: neither is a number of utterances.
PAPER = {"train": 9989, "val": 1112, "test": 4807}
OFFICIAL = {"train": 9989, "val": 1109, "test": 2610}  # the rows of MELD's own CSV files


def read(request: ReadRequest) -> Found:
    """Every row of MELD's three CSV files below the root, in file order: train, then val, then
    test."""
    root = request.root
    if not root.is_dir():
        raise UserError(_no_folder(root))
    if request.split is not None or request.fold != 0 or request.test is not None:
        raise UserError(
            "corpus.split, corpus.fold and corpus.test apply to corpus=manifest only; MELD has its"
            " own split"
        )
    if request.columns or request.labels:
        raise UserError(
            "corpus.columns and corpus.labels apply to corpus=manifest only; MELD's files have"
            " names of their own"
        )
    files, closed = files_below(root)
    csvs, clips = find_csvs(root, files, closed), find_clips(root, files)
    rows: list[dict[str, object]] = []
    repaired: list[int] = []
    changed: list[bool] = []
    assumed = [f"{folder}, so its files are not used" for folder in closed]
    for split, path in csvs.items():
        first: dict[object, int] = {}
        sheet = read_records(path, dict.fromkeys(COLUMNS, NOT_MELDS))
        assumed += sheet.assumed
        for record in cleaned(sheet.records, NAMES, "Utterance"):
            row = _row(split, record, clips)
            if row["key"] in first:
                raise UserError(
                    f"{record.where}: dialogue {row['dialogue_id']}, utterance"
                    f" {row['utterance_id']} is already in row {first[row['key']]}; remove one of"
                    " the two"
                )
            first[row["key"]] = record.row
            rows.append(row)
            repaired.append(record.repaired)
            changed.append(record.cleaned)
    sources, realigned = tuple(csvs.values()), None
    if request.realignment is not None:
        clip_map = read_clip_map(request.realignment)
        sources += clip_map.sources
        realigned = asdict(_realign(rows, clips, clip_map))
    return Found(
        name="meld",
        folder=root,
        table=typed(pd.DataFrame(rows)),
        emotions=EMOTIONS,
        sentiments=SENTIMENTS,
        sources=sources,
        realigned=realigned,
        repaired=tuple(repaired),
        cleaned=tuple(changed),
        assumed=tuple(assumed),
        clips=clips,
        missing=tuple(
            MissingFile(f"{key[0]}/dia{key[1]}_utt{key[2]}", "clip", _below(root, path), reason)
            for key, (path, reason) in clips.unreadable.items()
        ),
        numbered=True,
        paper=PAPER,
        official=OFFICIAL,
    )


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


def _realign(rows: list[dict[str, object]], clips: Clips, clip_map: ClipMap) -> Realigned:
    """Gives the rows the clips of a clip map, in place."""
    keys = {(str(r["split"]), r["dialogue_id"], r["utterance_id"]): r for r in rows}
    files, changed = realigned_files(clips, clip_map, keys)  # type: ignore[arg-type]
    for key, row in keys.items():
        path = files.get(key)  # type: ignore[arg-type]
        row["clip"] = None if path is None else str(path)
    return changed


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _no_folder(root: Path) -> str:
    if root.is_file() and root.suffix.lower() in TABLES:
        return (
            f"{root}: is a file; for a table of your own set corpus=manifest (in Python:"
            f' load_corpus("{root.name}", layout="manifest")); for MELD give the folder that holds'
            " the *_sent_emo.csv files"
        )
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

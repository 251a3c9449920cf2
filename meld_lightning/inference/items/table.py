"""The clips and texts that a user asks about, as a table with one row per item.

Reads the names of files and folders, and CSV or Parquet files; decodes no media. Used by the
commands `predict` and `demo` and by Predictor.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from meld_lightning.corpus.look_alikes import clean_text
from meld_lightning.corpus.readers.clip_files import Finder
from meld_lightning.corpus.readers.meld_files import files_below
from meld_lightning.errors import UserError, near_miss
from meld_lightning.inference.items.table_files import is_table, table_rows
from meld_lightning.inference.items.texts import checked_text

log = logging.getLogger(__name__)

COLUMNS = ("id", "clip", "audio", "text", "speaker", "dialogue", "start", "end")
VIDEO = re.compile(
    r"\.(3gp|asf|avi|divx|f4v|flv|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|mxf|ogv|ts|vob|webm|wmv)"
)
SOUND = re.compile(r"\.(aac|ac3|aiff?|amr|au|caf|flac|m4a|mka|mp3|oga|ogg|opus|w64|wav|wma)")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_SHOWN = 3  # names in a message


def read_items(
    named: str | Path | Sequence[str | Path] = (), texts: str | Sequence[str] = ()
) -> pd.DataFrame:
    """One row for each item that a user names, in the order given; a DataFrame with COLUMNS.

    `clip`, `audio`, `text`, `speaker` and `dialogue` are None where absent; `clip` and `audio` are
    paths, and `audio` replaces the clip's own sound. `start` and `end` are seconds within the clip,
    NaN for a whole clip.

    named: clips, folders of clips (searched at any depth, in the order of their paths; hidden files
        are skipped) and tables (CSV or Parquet, see table_files.py). One or several.
    texts: utterances. Without `named`, each is an item; otherwise one for each clip.

    Raises UserError if nothing is named, if a file is missing, if a folder contains no clip, if a
    table has none of the columns clip, audio and text, if two items have the same id, or if a text
    is too long.
    """
    named = [named] if isinstance(named, str | os.PathLike) else list(named)
    texts = [texts] if isinstance(texts, str) else list(texts)
    if not named and not texts:
        raise UserError(
            "nothing to predict: give a clip, a folder, a CSV or Parquet file, or text="
        )
    for number, text in enumerate(texts, start=1):
        checked_text(text, "text=" if len(texts) == 1 else f"text {number}", required=True)
    rows = _text_rows(texts) if not named else _file_rows(named, texts)
    return as_items(rows)


def as_items(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rows with some of COLUMNS, each with its id, as a table of items; UserError if two ids are
    equal."""
    # objects: a path whose bytes are not UTF-8 does not fit into pandas' strings
    cells = [[row.get(column) for column in COLUMNS] for row in rows]
    table = pd.DataFrame(cells, columns=list(COLUMNS), dtype=object)
    table = table.astype({"start": "float64", "end": "float64"})
    doubled = table["id"][table["id"].duplicated()]
    if len(doubled):
        raise UserError(f"two items have the id {doubled.iloc[0]!r}; each item needs its own")
    return table


def _text_rows(texts: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"id": "text" if len(texts) == 1 else f"text {number}", "text": clean_text(text)}
        for number, text in enumerate(texts, start=1)
    ]


def _file_rows(named: Sequence[str | Path], texts: Sequence[str]) -> list[dict[str, Any]]:
    finder, rows = Finder(), []
    clips: list[dict[str, Any]] = []
    for one in named:
        path = _found(one, finder)
        if os.path.isdir(path):  # noqa: PTH112 -- Path.is_dir raises on what it may not see
            _no_texts(texts, path, "a folder")
            fresh = [{"id": name, "clip": clip} for clip, name in _clips_below(path)]
        elif is_table(path):
            _no_texts(texts, path, "a table")
            rows += table_rows(path)
            continue
        else:
            fresh = [{"id": path.name, "clip": path}]
        rows += fresh
        clips += fresh
    if texts and len(texts) != len(clips):
        raise UserError(
            f"{len(texts)} texts for {len(clips)} clips; give one text for each clip, or a table"
            " with the columns clip and text"
        )
    _name_clips(clips)
    for clip, text in zip(clips, texts, strict=False):
        clip["text"] = clean_text(text)
    return rows


def _found(named: str | Path, finder: Finder) -> Path:
    """The file or folder that a user names, found under any Unicode normal form of its name."""
    if not str(named).strip():
        raise UserError("an empty path is named; give a clip, a folder or a table")
    path = Path(os.path.expanduser(named))  # noqa: PTH111 -- Path's raises on a name like ~a.mp4
    found, reason = finder.find(path)
    if reason == "a folder, not a file":
        return path
    if found is None:
        if _ADDRESS.match(str(named)):
            raise UserError(f"{named}: is an address; download the clip and give its path")
        said = "no such file" if reason == "file not found" else reason
        raise UserError(f"{named}: {said}{_near(path)}; give a clip, a folder or a table")
    return found


def _near(path: Path) -> str:
    try:
        return near_miss(path.name, os.listdir(path.parent))  # noqa: PTH208 -- names alone
    except (OSError, ValueError):
        return ""


def _clips_below(folder: Path) -> list[tuple[Path, str]]:
    """The clips below a folder and the id of each: its path from that folder."""
    files, closed = files_below(folder)
    for line in closed:
        log.warning("%s; its clips are left out", line)
    inside = [(path, path.relative_to(folder)) for path in files]
    inside = [
        (path, below) for path, below in inside if not any(n.startswith(".") for n in below.parts)
    ]
    clips = [(path, below.as_posix()) for path, below in inside if _is_clip(path)]
    others = sorted({path.suffix.lower() or "none" for path, _ in inside if not _is_clip(path)})
    if not clips:
        tables = [below.as_posix() for path, below in inside if is_table(path)]
        if tables:
            raise UserError(
                f"{folder}: contains no clips, but tables ({', '.join(tables[:_SHOWN])}); give the"
                " table itself"
            )
        held = f"{len(inside)} other files" if inside else "no files"
        raise UserError(
            f"{folder}: contains no clips ({held}); expected names ending in .mp4, .mov, .mkv,"
            " .webm, .wav or the like"
        )
    if len(clips) < len(inside):
        log.info(
            "%s: %d clips; %d other files left out (%s)",
            folder,
            len(clips),
            len(inside) - len(clips),
            ", ".join(others[:8]),
        )
    return sorted(clips, key=lambda clip: clip[1])


def _is_clip(path: Path) -> bool:
    suffix = path.suffix.lower()
    return bool(VIDEO.fullmatch(suffix) or SOUND.fullmatch(suffix))


def _name_clips(clips: Sequence[dict[str, Any]]) -> None:
    """Makes the ids of clips unique: clips of the same name get their path as id."""
    names = Counter(clip["id"] for clip in clips)
    paths = Counter(os.path.realpath(clip["clip"]) for clip in clips)
    for clip in clips:
        if paths[os.path.realpath(clip["clip"])] > 1:
            raise UserError(f"{clip['clip']}: named twice; name each clip once")
        clip["clip"] = str(clip["clip"])
        clip["id"] = valid_unicode(clip["id"] if names[clip["id"]] == 1 else clip["clip"])


def valid_unicode(name: str) -> str:
    """A file's name as valid Unicode: bytes that are not UTF-8 become replacement characters."""
    return os.fsencode(name).decode("utf-8", errors="replace")


def _no_texts(texts: Sequence[str], path: Path, kind: str) -> None:
    if texts:
        raise UserError(
            f"{path}: is {kind}, and text= belongs to a clip; give a table with the columns clip"
            " and text"
        )

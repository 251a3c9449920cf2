"""Finds MELD's files at any depth below a folder, by their names.

MELD's "dev" split is called val from here on. Lists folders, and reads CSV files
that have to be compared; used by meld.py.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from meld_lightning.corpus.readers.clip_files import unreadable
from meld_lightning.corpus.readers.csv_records import repair
from meld_lightning.errors import UserError

CSV_NAMES = {"train": "train_sent_emo.csv", "val": "dev_sent_emo.csv", "test": "test_sent_emo.csv"}
# MELD corrected 132 test clips and left the wrong ones beside them: the long name takes precedence
# over the plain one.
_CLIP = re.compile(r"(final_videos_test)?dia(\d+)_utt(\d+)\.mp4", re.IGNORECASE)
# AppleDouble files, which macOS adds to archives; they contain no video.
_STUB = re.compile(r"\._.*\.mp4", re.IGNORECASE)
_SPLIT_WORD = re.compile(r"(?<![a-z])(train|dev|valid|validation|val|test)(?![a-z])")
_SPLIT_OF = {
    "train": "train",
    "dev": "val",
    "valid": "val",
    "validation": "val",
    "val": "val",
    "test": "test",
}


@dataclass
class Clips:
    """Clip files by (split, dialogue, utterance), and files that were not used.

    recuts: clips whose corrected version is used. copies: all files of a clip found more than once.
    stubs: number of AppleDouble files by split. unplaced: clips whose folders name no split.
    unreadable: the file of each clip that cannot be read, such as a broken link, and the reason.
    """

    files: dict[tuple[str, int, int], Path] = field(default_factory=dict)
    recuts: set[tuple[str, int, int]] = field(default_factory=set)
    copies: dict[tuple[str, int, int], list[Path]] = field(default_factory=dict)
    stubs: dict[str, int] = field(default_factory=lambda: {"train": 0, "val": 0, "test": 0})
    unplaced: list[Path] = field(default_factory=list)
    unreadable: dict[tuple[str, int, int], tuple[Path, str]] = field(default_factory=dict)


def files_below(root: Path) -> tuple[list[Path], list[str]]:
    """Every file below the folder `root`, sorted by depth, then by name, and a line for each folder
    that cannot be listed. A linked folder is visited once. A link that leads nowhere counts as a
    file."""
    found: list[Path] = []
    closed: list[str] = []
    seen: set[str] = set()

    def note(error: OSError) -> None:
        closed.append(f"{error.filename} cannot be listed ({(error.strerror or '').lower()})")

    for folder, folders, names in os.walk(root, followlinks=True, onerror=note):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        found.extend(Path(folder, name) for name in names)
    found.sort(key=lambda path: (len(path.parts), path.as_posix()))
    return found, sorted(closed)


def find_csvs(root: Path, files: Sequence[Path], closed: Sequence[str] = ()) -> dict[str, Path]:
    """split -> its CSV file; UserError if one is missing or copies of one differ.

    closed: a line for each folder that could not be listed, for that error.
    """
    chosen: dict[str, Path] = {}
    missing = []
    doubts = list(closed)
    for split, name in CSV_NAMES.items():
        named = [(path, unreadable(path)) for path in files if path.name == name]
        copies = [path for path, reason in named if reason is None]
        if not copies:
            missing.append(name)
            doubts += [f"{path} cannot be read ({reason})" for path, reason in named]
            continue
        for other in copies[1:]:
            if _content(other) != _content(copies[0]):
                raise UserError(
                    f"{copies[0]} and {other} differ: keep one of them, or set corpus.root to the"
                    " folder of one"
                )
        chosen[split] = copies[0]
    if missing:
        if doubts:
            raise UserError(
                f"{root}: {', '.join(missing)} not found in this folder and below; {doubts[0]}:"
                " check its permissions or replace it"
            )
        raise UserError(_not_found(root, files, missing, chosen))
    return chosen


def _content(path: Path) -> bytes:
    """The file's bytes in a form in which an old copy and its repaired version are equal."""
    raw = path.read_bytes()
    try:
        return repair(raw.decode("utf-8-sig")).replace("\r\n", "\n").strip().encode()
    except UnicodeDecodeError:  # read_records will name the byte
        return raw


def _not_found(
    root: Path, files: Sequence[Path], missing: Sequence[str], chosen: dict[str, Path]
) -> str:
    looked = f"{root}: looked for {', '.join(missing)} in this folder and below"
    archives = [path for path in files if path.name.endswith((".tar.gz", ".tgz", ".tar", ".zip"))]
    if chosen:
        have = ", ".join(str(path.relative_to(root)) for path in chosen.values())
        return f"{looked}; only {have} was found; unpack or download the rest into the same folder"
    if archives:
        return (
            f"{looked}; found the archive {archives[0].relative_to(root)}: unpack it and try again"
        )
    if not files:
        return (
            f"{looked}; found no file at all; give the folder into which MELD was unpacked as"
            " corpus.root"
        )
    shown = ", ".join(str(path.relative_to(root)) for path in files[:3])
    return (
        f"{looked}; found {len(files)} other files instead"
        f" ({shown}{', ...' if len(files) > 3 else ''}); give the folder into which MELD was"
        " unpacked as corpus.root"
    )


def find_clips(root: Path, files: Iterable[Path]) -> Clips:
    """MELD's clips among `files`; the nearest folder that names a split decides the split."""
    clips = Clips()
    ranked: dict[tuple[str, int, int], list[tuple[int, Path]]] = {}
    for path in files:
        match = _CLIP.fullmatch(path.name)
        stub = _STUB.fullmatch(path.name) is not None
        if match is None and not stub:
            continue
        split = "test" if match and match[1] else _split_of(path.relative_to(root))
        if split is None:
            clips.unplaced.append(path)
        elif match is None:
            clips.stubs[split] += 1
        else:
            ranked.setdefault((split, int(match[2]), int(match[3])), []).append(
                (0 if match[1] else 1, path)
            )
    for key, candidates in ranked.items():
        best = min(rank for rank, _ in candidates)
        reasons = {path: unreadable(path) for rank, path in candidates if rank == best}
        same = [path for path, reason in reasons.items() if reason is None]  # in order of depth
        if not same:  # also if the clip that a recut replaces can be read: that one is wrong
            clips.unreadable[key] = next((path, str(why)) for path, why in reasons.items())
            continue
        clips.files[key] = same[0]
        if best == 0 and key[0] == "test":
            clips.recuts.add(key)
        if len(same) > 1:
            clips.copies[key] = same
    return clips


def _split_of(relative: Path) -> str | None:
    for part in reversed(relative.parts[:-1]):
        words = _SPLIT_WORD.findall(part.lower())
        if words:
            return _SPLIT_OF[words[-1]]
    return None

"""MELD-FAIR's realignment as a clip map: the clip that holds most of an utterance's speech.

MELD-FAIR (Carneiro, Weber and Wermter, Neurocomputing 545, 2023) found by forced alignment where in
MELD's clips each utterance is spoken. Its folder csvs/ holds MELD_video_realignment_timestamps.csv,
which lists the pieces of each utterance (clip, start, end), and realigned_<split>_sent_emo.csv,
which name the utterance that each of its renumbered ones was.

Reads these four files; used by meld.py. Clips are moved whole: the times inside them are not used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meld_lightning.corpus.labels import SPLITS
from meld_lightning.corpus.readers.csv_records import Record, read_records
from meld_lightning.corpus.readers.meld_files import Clips
from meld_lightning.corpus.readers.values import whole
from meld_lightning.errors import UserError

Utterance = tuple[str, int, int]  # split, dialogue, utterance
NAMES = {"train": "train", "dev": "val", "test": "test"}  # MELD-FAIR's splits -> ours
ORIGINAL = ("Original Dialogue ID", "Original Utterance ID")
PIECES = ("Split", "Dialogue ID", "Utterance ID", *ORIGINAL, "Start Time", "End Time")
IDS = ("Dialogue_ID", "Utterance_ID", "Original Utterance_ID")


@dataclass(frozen=True)
class ClipMap:
    """Where the speech of each utterance lies.

    best: utterance -> the one whose clip holds most of its speech; None if no clip does.
    sources: the files that this was read from.
    """

    best: dict[Utterance, Utterance | None]
    sources: tuple[Path, ...]


@dataclass
class Realigned:
    """What a clip map changed, in numbers of rows by split.

    moved: got another clip. dropped: lost their clip, which holds none of their speech. kept: have
    their own. recut: have MELD's corrected clip, which the map does not know, and kept it.
    unmapped: are not in the map, and kept their own.
    """

    moved: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    kept: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    recut: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    unmapped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))


def read_clip_map(path: Path) -> ClipMap:
    """The clip map in the file `path` and in those beside it; UserError where one is missing or
    damaged."""
    ids = {split: path.with_name(f"realigned_{name}_sent_emo.csv") for name, split in NAMES.items()}
    for file in (path, *ids.values()):
        if not file.is_file():
            raise UserError(
                f"corpus.realignment={path}: {file} is not there; give MELD-FAIR's"
                " MELD_video_realignment_timestamps.csv, with its three realigned_*_sent_emo.csv"
                " beside it"
            )
    speech: dict[Utterance, dict[Utterance, float]] = {}
    for record in read_records(path, PIECES).records:
        split = NAMES.get(record.fields["Split"])
        if split is None:
            raise UserError(f"{record.where}: Split is none of {', '.join(NAMES)}")
        new = (split, whole(record, "Dialogue ID"), whole(record, "Utterance ID"))
        dialogue, utterance = (whole(record, name) for name in ORIGINAL)
        clip = (split, dialogue, utterance)
        seconds = speech.setdefault(new, {})
        seconds[clip] = seconds.get(clip, 0.0) + _seconds(record)
    best: dict[Utterance, Utterance | None] = {}
    for split, file in ids.items():
        for record in read_records(file, IDS).records:
            dialogue = whole(record, "Dialogue_ID")
            own = (split, dialogue, whole(record, "Original Utterance_ID"))
            found = speech.get((split, dialogue, whole(record, "Utterance_ID")), {})
            # of equals its own, then the first
            best[own] = max(found, key=lambda clip: (found[clip], clip == own), default=None)
    return ClipMap(best, (path, *ids.values()))


def _seconds(record: Record) -> float:
    try:
        seconds = float(record.fields["End Time"]) - float(record.fields["Start Time"])
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e5:
        raise UserError(f"{record.where}: Start Time and End Time are not seconds in order")
    return seconds


def realigned_files(
    clips: Clips, clip_map: ClipMap, rows: Mapping[Utterance, object]
) -> tuple[dict[Utterance, Path], Realigned]:
    """The clip of each of the rows by the map, and what that changed; rows without a clip are left
    out of both."""
    files: dict[Utterance, Path] = {}
    changed = Realigned()
    for own in rows:
        if own not in clips.files:
            continue
        split, best = own[0], clip_map.best.get(own, own)
        if own in clips.recuts:
            changed.recut[split] += 1
        elif own not in clip_map.best:
            changed.unmapped[split] += 1
        elif best is None or best not in clips.files:
            changed.dropped[split] += 1
            continue
        elif best != own:
            changed.moved[split] += 1
            files[own] = _as_aligned(clips, best)
            continue
        else:
            changed.kept[split] += 1
        files[own] = clips.files[own]
    return files, changed


def _as_aligned(clips: Clips, clip: Utterance) -> Path:
    """The file that MELD-FAIR aligned: it used the plain ones, not the corrected ones."""
    file = clips.files[clip]
    plain = file.with_name(f"dia{clip[1]}_utt{clip[2]}.mp4")
    return plain if clip in clips.recuts and plain.is_file() else file

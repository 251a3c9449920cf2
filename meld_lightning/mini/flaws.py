"""Arranges the mini corpus's utterances in dialogues with speakers and times, and adds the flaws of
MELD's CSV files and archive.

Makes CSV bytes and plans clips; used by corpus.py and clips.py. Nothing here depends on an emotion,
so that nothing here reveals one.
"""

import csv
import io
import random
from dataclasses import dataclass, field, replace

from meld_lightning.corpus.readers.meld import COLUMNS

SPEAKERS = ("Ada", "Bruno", "Clara", "Dmitri", "Esme", "Farid", "Greta", "Hugo")
EPISODES = {
    "train": 12,
    "val": 6,
    "test": 10,
}  # the episodes of season 1 and 2 that a split draws on
HEADER = ("Sr No.", *COLUMNS)
FOLDERS = {
    "train": "train_splits",
    "val": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
SOUNDLESS_S = 0.2  # a shorter clip has no room for an audible cue


@dataclass(frozen=True)
class Plan:
    """One mp4 file: the cues it shows and its flaw. A cue that is None means no such track."""

    name: str  # below the corpus's folder
    face: str | None
    voice: str | None
    seconds: float
    seed: str
    headless: bool = False  # cut off before the index at its end, like an aborted download


@dataclass
class Line:
    """One row of a MELD CSV; times in milliseconds."""

    text: str = ""
    speaker: str = ""
    emotion: str = ""
    sentiment: str = ""
    dialogue: int = 0
    utterance: int = 0
    season: int = 1
    episode: int = 1
    start: int = 0
    end: int = 0
    lost: set[str] = field(default_factory=set)  # modalities that this row's clip cannot show
    short_hours: bool = False  # 0:10:44,769 instead of 00:10:44,769, as in some of MELD's dialogues


def spoil(splits: dict[str, list[Line]], frame: random.Random, flaws: random.Random) -> None:
    """Gives every line its dialogue, speaker and times, then adds MELD's flaws, in place."""
    dialogues = {split: _frame(split, lines, frame) for split, lines in splits.items()}
    for split, groups in dialogues.items():
        _spoil_text(splits[split], flaws)
        _spoil_ids(split, groups)
        _spoil_speakers(split, splits[split], flaws)
        _spoil_times(split, groups)
    _overlap(dialogues)


def csv_bytes(lines: list[Line]) -> bytes:
    """The lines as a CSV file in MELD's format: UTF-8, CRLF, quoted where needed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    for number, line in enumerate(lines, start=1):
        writer.writerow(
            [
                number,
                line.text,
                line.speaker,
                line.emotion,
                line.sentiment,
                line.dialogue,
                line.utterance,
                line.season,
                line.episode,
                _clock(line.start, line.short_hours),
                _clock(line.end, line.short_hours),
            ]
        )
    return text.getvalue().encode()


def _clock(milliseconds: int, short_hours: bool) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours:0{1 if short_hours else 2}d}:{minutes:02d}:{seconds % 60:02d},{rest:03d}"


def _frame(split: str, lines: list[Line], stream: random.Random) -> list[list[Line]]:
    """Dialogues of 1 to 12 turns with two to four speakers, one after another in their episode."""
    groups: list[list[Line]] = []
    clock: dict[tuple[int, int], int] = {}
    offset = {"train": 60_000, "val": 900_000, "test": 1_200_000}[
        split
    ]  # the splits lie apart within an episode
    rest = list(lines)
    while rest:
        turns = stream.randint(1, 12)
        group, rest = rest[:turns], rest[turns:]
        number = stream.randrange(EPISODES[split])
        place = (1 + number // 6, 1 + number % 6)
        cast = stream.sample(SPEAKERS, stream.randint(2, 4))
        now = clock.get(place, offset)
        for turn, line in enumerate(group):
            line.dialogue, line.utterance, (line.season, line.episode) = len(groups), turn, place
            line.speaker = stream.choice(cast)
            line.start = now + stream.randint(0, 900)
            line.end = line.start + 600 + 20 * len(line.text.split()) + stream.randint(0, 1200)
            line.short_hours = number == 3
            now = line.end
        clock[place] = now + 5_000
        groups.append(group)
    return groups


def _spoil_text(lines: list[Line], stream: random.Random) -> None:
    """Adds typographic characters as in today's MELD and, in a quarter of the rows, the C1 control
    characters of its older copies."""
    for line in lines:
        line.text = line.text.replace("...", "\u2026")
        draw = stream.random()
        if draw < 0.1:  # both in one row: re-encoding the whole text would fail on it
            line.text = f"{line.text} Y\u2019know I\u0092ve seen it\u0085"
        elif draw < 0.25:
            line.text = f"{line.text} I\u0092d say so\u0085"
        elif draw < 0.3:
            line.text = f"{line.text} Caf\u00e9 \u0097 now\u2014go."
        elif draw < 0.4:
            line.text = f"{line.text} That\u2019s it."


def _spoil_ids(split: str, groups: list[list[Line]]) -> None:
    """Skips utterance ids within some dialogues, and one dialogue id of train."""
    for group in [group for group in groups if len(group) >= 4][:: 5 if split == "train" else 9]:
        for line in group[2:]:
            line.utterance += 1
    if split == "train":
        for group in groups[60:]:
            for line in group:
                line.dialogue += 1


def _spoil_speakers(split: str, lines: list[Line], stream: random.Random) -> None:
    for line in stream.sample(lines, 6):
        line.speaker = "All"
    for line, pair in zip(
        stream.sample(lines, 3), ("Ada/Bruno", "Clara and Hugo", "Greta/Esme"), strict=True
    ):
        line.speaker = pair
    if split == "test":
        for line in stream.sample(lines, 12):
            line.speaker = "Ines"


def _spoil_times(split: str, groups: list[list[Line]]) -> None:
    """Adds equal times, decreasing starts, very short rows, and one that is far too long."""
    long = [group for group in groups if len(group) >= 5]
    for group in long[::6]:
        group[1].start, group[1].end = group[0].start, group[0].end
    for group in long[3::9]:
        group[3].start, group[3].end = group[3].start - 9_000, group[3].end - 9_000
    for group in long[1::8]:
        group[2].end = group[2].start + 40
    long[2][0].end = long[2][0].start + (0 if split == "test" else 150)
    if split != "val":
        long[4][-1].end = long[4][-1].start + 41_000


def _overlap(dialogues: dict[str, list[list[Line]]]) -> None:
    """Lets some rows of val and test overlap a train row of their episode."""
    train = [
        line for group in dialogues["train"] for line in group if line.end - line.start > 1_500
    ]
    for split, wanted in (("val", 3), ("test", 8)):
        for group in [group for group in dialogues[split] if len(group) == 3][:wanted]:
            line = group[0]
            other = next(
                row for row in train if (row.season, row.episode) == (line.season, line.episode)
            )
            line.start, line.end = other.start + 200, other.end + 100


def plan_clips(
    shown: dict[str, list[tuple[Line, dict[str, str]]]], seed: int
) -> tuple[list[Plan], list[str]]:
    """Plans a clip for each row, with the flaws of MELD's archive, and names its AppleDouble files.

    shown: split -> (line, cue of each modality) for each row. Notes in each line which modalities
        its clip lacks.
    """
    plans: list[Plan] = []
    for split, rows in shown.items():
        stream = random.Random(f"{seed}/clips/{split}")
        unlike = [cues for _, cues in rows]
        odd = dict(
            zip(
                ("headless", "missing", "silent", "blind"),
                stream.sample(range(len(rows)), 4),
                strict=True,
            )
        )
        recut = set(stream.sample(range(len(rows)), len(rows) // 20)) if split == "test" else set()
        for place, (line, cues) in enumerate(rows):
            plan = _plan(split, line, cues, odd, place, seed)
            if place in recut:
                wrong = stream.choice(unlike)
                plans.append(
                    Plan(
                        plan.name,
                        wrong["video"],
                        wrong["audio"],
                        0.5 + stream.random(),
                        f"{seed}/{plan.name}",
                    )
                )
                folder, _, name = plan.name.rpartition("/")
                plan = replace(plan, name=f"{folder}/final_videos_test{name}")
            if not (split == "val" and place == odd["missing"]):
                plans.append(plan)
            else:
                line.lost |= {"audio", "video"}
        for number in range(0 if split == "train" else 2 if split == "val" else 5):
            cues, name = stream.choice(unlike), f"{FOLDERS[split]}/dia{900 + number}_utt0.mp4"
            plans.append(Plan(name, cues["video"], cues["audio"], 1.0, f"{seed}/{name}"))
    stream = random.Random(f"{seed}/stubs")
    stubs = {
        f"{FOLDERS['test']}/._dia{stream.randrange(70)}_utt{stream.randrange(10)}.mp4"
        for _ in range(60)
    }
    return plans, sorted(stubs)


def _plan(
    split: str, line: Line, cues: dict[str, str], odd: dict[str, int], place: int, seed: int
) -> Plan:
    name = f"{FOLDERS[split]}/dia{line.dialogue}_utt{line.utterance}.mp4"
    seconds = (line.end - line.start) / 1000
    silent = split != "val" and place == odd["silent"]
    blind = split == "test" and place == odd["blind"]
    headless = split == "train" and place == odd["headless"]
    line.lost |= {"audio"} if silent or headless or seconds < SOUNDLESS_S else set()
    line.lost |= {"video"} if blind or headless else set()
    face, voice = None if blind else cues["video"], None if silent else cues["audio"]
    return Plan(name, face, voice, seconds, f"{seed}/{name}", headless)

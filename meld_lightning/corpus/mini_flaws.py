"""The frame around the mini corpus's utterances: dialogues, speakers, times, and the flaws that MELD's own CSVs have.

Writes CSV bytes; used by mini.py. Nothing here looks at an emotion, so that none of it gives one away.
"""

import csv
import io
import random
from dataclasses import dataclass

SPEAKERS = ("Ada", "Bruno", "Clara", "Dmitri", "Esme", "Farid", "Greta", "Hugo")
EPISODES = {"train": 12, "val": 6, "test": 10}  # the episodes of season 1 and 2 that a split draws on
HEADER = (
    "Sr No.",
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
    short_hours: bool = False  # 0:10:44,769 instead of 00:10:44,769, as in some of MELD's dialogues


def spoil(splits: dict[str, list[Line]], frame: random.Random, flaws: random.Random) -> None:
    """Give every line its dialogue, speaker and times, then MELD's flaws, in place."""
    dialogues = {split: _frame(split, lines, frame) for split, lines in splits.items()}
    for split, groups in dialogues.items():
        _spoil_text(splits[split], flaws)
        _spoil_ids(split, groups)
        _spoil_speakers(split, splits[split], flaws)
        _spoil_times(split, groups)
    _overlap(dialogues)


def csv_bytes(lines: list[Line]) -> bytes:
    """MELD's format: UTF-8, CRLF, quotes where needed."""
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
    """Dialogues of 1 to 12 turns, two to four speakers each, one after another in their episodes."""
    groups: list[list[Line]] = []
    clock: dict[tuple[int, int], int] = {}
    offset = {"train": 60_000, "val": 900_000, "test": 1_200_000}[split]  # the splits lie apart within an episode
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
            line.end = line.start + 400 + 90 * len(line.text.split()) + stream.randint(0, 2800)
            line.short_hours = number == 3
            now = line.end
        clock[place] = now + 5_000
        groups.append(group)
    return groups


def _spoil_text(lines: list[Line], stream: random.Random) -> None:
    """Typographic marks as today's MELD has them, and in one row of four the C1 controls of its older copies."""
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
    """Utterance ids left out inside some dialogues, and one dialogue id of train left out altogether."""
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
    for line, pair in zip(stream.sample(lines, 3), ("Ada/Bruno", "Clara and Hugo", "Greta/Esme"), strict=True):
        line.speaker = pair
    if split == "test":
        for line in stream.sample(lines, 12):
            line.speaker = "Ines"


def _spoil_times(split: str, groups: list[list[Line]]) -> None:
    """Shared times, decreasing starts, near-empty spans, and one that is far too long."""
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
    """Some rows of val and test lie over a train row of their episode."""
    train = [line for group in dialogues["train"] for line in group if line.end - line.start > 1_500]
    for split, wanted in (("val", 3), ("test", 8)):
        for group in [group for group in dialogues[split] if len(group) == 3][:wanted]:
            line = group[0]
            other = next(row for row in train if (row.season, row.episode) == (line.season, line.episode))
            line.start, line.end = other.start + 200, other.end + 100

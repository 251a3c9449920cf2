"""Writes the mini corpus: the project's own small corpus in MELD's layout and with MELD's flaws, always the same bytes.

Writes {train,dev,test}_sent_emo.csv, mini_truth.csv and mini.json (last) below one folder; read by the very loader that
reads MELD. prepare.py calls it. How an utterance comes about: the emotion is drawn first, from PRIOR and
independently of all others; then the cues of each modality, given the emotion and nothing else. Text: with
probability AMBIGUOUS_SHARE the wording comes from a set that several emotions share, else from the emotion's own.
Hence the posterior of emotion e is 1 for clear wording, and for the ambiguous set s PRIOR[e] P(s | e) / sum over f
of PRIOR[f] P(s | f), exactly; wording, length, speaker and neighbours tell nothing more. Each modality draws from a
random stream of its own: adding one leaves the others as they are.
"""

import csv
import hashlib
import io
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

from meld_lightning.corpus.finding import CSV_NAMES
from meld_lightning.corpus.folders import whole_folder
from meld_lightning.corpus.labels import EMOTIONS
from meld_lightning.corpus.mini_flaws import Line, csv_bytes, spoil
from meld_lightning.corpus.mini_words import AMBIGUOUS, CLEAR, OPENERS, TAILS, TOPICS
from meld_lightning.errors import UserError

MINI_VERSION = 4
SEED = 22
ROWS = {"train": 640, "val": 160, "test": 480}
# About MELD's own shares, the rare ones raised a little so that every split holds all seven.
PRIOR = {
    "neutral": 0.46,
    "joy": 0.17,
    "surprise": 0.12,
    "anger": 0.11,
    "sadness": 0.07,
    "disgust": 0.035,
    "fear": 0.035,
}
AMBIGUOUS_SHARE = 0.3
MARKER = "mini.json"
TRUTH = "mini_truth.csv"


@dataclass
class Utterance:
    """One drawn utterance: what is true of it, and the line of CSV that it becomes."""

    split: str
    emotion: str
    ambiguous: bool
    posterior: dict[str, float]
    line: Line = field(default_factory=Line)


def write_mini(root: Path) -> None:
    """Write the mini corpus as the folder `root`, in place of an older one.

    UserError where `root` holds anything else.
    """
    root = Path(root)
    if root.exists() and not (root / MARKER).is_file() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root}: exists and is not a mini corpus; remove it or choose another corpus.root")
    contents = _contents()
    digests = {name: hashlib.sha256(raw).hexdigest() for name, raw in contents.items()}
    marker = json.dumps({"version": MINI_VERSION, "files": digests}, indent=1) + "\n"
    with whole_folder(root) as fresh:
        for name, raw in contents.items():
            (fresh / name).write_bytes(raw)
        (fresh / MARKER).write_text(marker, encoding="utf-8")


def mini_is_current(root: Path) -> bool:
    """Whether `root` holds the mini corpus of this version, whole and untouched."""
    try:
        marker = json.loads((root / MARKER).read_text())
        return bool(marker["version"] == MINI_VERSION) and all(
            hashlib.sha256((root / name).read_bytes()).hexdigest() == digest for name, digest in marker["files"].items()
        )
    except (OSError, ValueError, KeyError):  # absent, damaged or foreign: not current, and written anew
        return False


def mini_text_optimum(root: Path) -> dict[str, dict[str, float]]:
    """The best that text can do, from mini_truth.csv: split -> {"expected", "realised"} accuracy.

    expected: the mean over rows of the largest posterior. realised: how often the emotion of largest posterior is
    the label.
    """
    with (root / TRUTH).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    optimum = {}
    for split in CSV_NAMES:
        expected = realised = count = 0.0
        for row in (row for row in rows if row["split"] == split):
            posterior = {emotion: float(row[f"text_{emotion}"]) for emotion in EMOTIONS}
            best = max(EMOTIONS, key=posterior.__getitem__)
            expected, realised, count = expected + posterior[best], realised + (best == row["emotion"]), count + 1
        optimum[split] = {"expected": expected / count, "realised": realised / count}
    return optimum


def _contents() -> dict[str, bytes]:
    streams = {name: random.Random(f"{SEED}/{name}") for name in ("emotion", "text", "frame", "flaws")}
    splits = {split: [_draw(split, streams) for _ in range(count)] for split, count in ROWS.items()}
    spoil(
        {split: [utterance.line for utterance in rows] for split, rows in splits.items()},
        streams["frame"],
        streams["flaws"],
    )
    contents = {CSV_NAMES[split]: csv_bytes([utterance.line for utterance in rows]) for split, rows in splits.items()}
    contents[TRUTH] = _truth([utterance for rows in splits.values() for utterance in rows])
    return contents


def _draw(split: str, streams: dict[str, random.Random]) -> Utterance:
    emotion = streams["emotion"].choices(EMOTIONS, weights=[PRIOR[name] for name in EMOTIONS])[0]
    ambiguous = streams["text"].random() < AMBIGUOUS_SHARE
    text, posterior = _wording(emotion, ambiguous, streams["text"])
    utterance = Utterance(split, emotion, ambiguous, posterior)
    utterance.line.text = text
    utterance.line.emotion = emotion
    positive = streams["emotion"].random() < 0.5  # of surprise alone, which is either in MELD, about evenly
    utterance.line.sentiment = {"neutral": "neutral", "joy": "positive"}.get(
        emotion, "positive" if emotion == "surprise" and positive else "negative"
    )
    return utterance


def _wording(emotion: str, ambiguous: bool, stream: random.Random) -> tuple[str, dict[str, float]]:
    if ambiguous:
        name = stream.choices(list(AMBIGUOUS), weights=[_share(name, emotion) for name in AMBIGUOUS])[0]
        _, templates, words = AMBIGUOUS[name]
        joint = {other: PRIOR[other] * _share(name, other) for other in EMOTIONS}
        posterior = {other: value / sum(joint.values()) for other, value in joint.items()}
    else:
        templates, words = CLEAR[emotion]
        posterior = {other: float(other == emotion) for other in EMOTIONS}
    bare = stream.random() < 0.4  # short, so that the same text comes up under several labels, as in MELD
    clause = stream.choice(templates).format(t="that" if bare else stream.choice(TOPICS), w=stream.choice(words))
    opener = f"{stream.choice(OPENERS)} " if not bare and stream.random() < 0.4 else ""
    tail = f" {stream.choice(TAILS)}" if not bare and stream.random() < 0.6 else ""
    sentence = f"{opener}{clause}{tail}{stream.choice(('.', '.', '!', '?', '...'))}"
    return sentence[0].upper() + sentence[1:], posterior


def _share(name: str, emotion: str) -> float:
    """P(set `name` | `emotion`, ambiguous)."""
    total = sum(shares.get(emotion, 0.0) for shares, _, _ in AMBIGUOUS.values())
    return AMBIGUOUS[name][0].get(emotion, 0.0) / total


def _truth(utterances: list[Utterance]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["split", "dialogue", "utterance", "emotion", "text_ambiguous", *(f"text_{name}" for name in EMOTIONS)]
    )
    for utterance in utterances:
        writer.writerow(
            [
                utterance.split,
                utterance.line.dialogue,
                utterance.line.utterance,
                utterance.emotion,
                int(utterance.ambiguous),
                *(f"{utterance.posterior[name]:.6f}" for name in EMOTIONS),
            ]
        )
    return text.getvalue().encode()

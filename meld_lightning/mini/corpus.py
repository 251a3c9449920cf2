"""Writes the mini corpus: a small synthetic corpus with MELD's layout and MELD's flaws, the same
bytes every time.

Writes {train,dev,test}_sent_emo.csv, the clips in MELD's folders, mini_truth.csv and mini.json
(last) below one folder. Used by reader.py.

Each utterance's emotion is drawn from PRIOR, independently of all others. The cue of each modality
(wording, voice, face) is then drawn given the emotion and nothing else; see cues.py. So the
posterior of the emotions given a cue is known exactly, and everything else (length, speaker,
neighbouring utterances, loudness, colours) is uninformative. Each modality has its own random
stream, so that adding one leaves the others unchanged.
"""

import csv
import functools
import io
import json
import logging
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from meld_lightning.corpus.labels import EMOTIONS
from meld_lightning.corpus.readers.meld_files import CSV_NAMES
from meld_lightning.errors import UserError
from meld_lightning.mini.cues import CUES, PRIOR, optimum
from meld_lightning.mini.flaws import Line, Plan, csv_bytes, plan_clips, spoil
from meld_lightning.mini.words import AMBIGUOUS, CLEAR, OPENERS, TAILS, TOPICS
from meld_lightning.storage.atomic import atomic_folder
from meld_lightning.storage.fingerprint import bytes_digest, file_digest

logger = logging.getLogger(__name__)

MINI_VERSION = 6
SEED = 22
ROWS = {"train": 640, "val": 160, "test": 480}
MARKER = "mini.json"
TRUTH = "mini_truth.csv"


@dataclass
class Utterance:
    """One drawn utterance: its emotion, the cue of each modality, and its row of the CSV file."""

    split: str
    emotion: str
    cues: dict[str, str]  # by modality
    line: Line = field(default_factory=Line)


def write_mini(root: Path) -> None:
    """Writes the mini corpus as the folder `root`, replacing an older version.

    Raises UserError if `root` contains anything else.
    """
    root = Path(root)
    if (
        root.exists()
        and not (root / MARKER).is_file()
        and (not root.is_dir() or any(root.iterdir()))
    ):
        raise UserError(
            f"{root}: exists and is not a mini corpus; remove it or choose another corpus.root"
        )
    # imports PyAV, which reading a corpus does not need
    from meld_lightning.mini.clips import write_clips

    contents, plans, stubs = _contents()
    logger.info("writing the mini corpus, %d clips, into %s ...", len(plans), root)
    digests = {name: bytes_digest([raw]) for name, raw in contents.items()}
    marker = json.dumps({"version": MINI_VERSION, "files": digests}, indent=1) + "\n"
    with atomic_folder(root) as fresh:
        write_clips(fresh, plans, stubs)
        for name, raw in contents.items():
            (fresh / name).write_bytes(raw)
        (fresh / MARKER).write_text(marker, encoding="utf-8")


def mini_is_current(root: Path) -> bool:
    """Whether `root` contains this version of the mini corpus with unchanged CSV files.

    Clips are not checked: one that was damaged or removed stays so, as in MELD, and is listed in
    the corpus report.
    """
    try:
        marker = json.loads((root / MARKER).read_text())
        return bool(marker["version"] == MINI_VERSION) and all(
            file_digest(root / name) == digest for name, digest in marker["files"].items()
        )
    except (OSError, ValueError, KeyError):  # missing, damaged or something else
        return False


def is_mini_text(text: str) -> bool:
    """Whether `text` is an utterance of the mini corpus, whatever its blanks and signs."""
    return _letters(text) in _mini_letters()


def _letters(text: str) -> str:
    """Its letters and digits, in lower case: what repairing its other characters leaves alone."""
    return "".join(character for character in text if character.isalnum()).casefold()


@functools.cache
def _mini_letters() -> frozenset[str]:
    return frozenset(_letters(one.line.text) for rows in _utterances().values() for one in rows)


def mini_optimum(root: Path) -> dict[str, dict[str, dict[str, float]]]:
    """The best possible accuracy, from mini_truth.csv: split -> modality or "fused" -> {"expected",
    "realised"}.

    expected: the mean over rows of the largest posterior. realised: how often the emotion with the
    largest posterior is the label.
    """
    with (root / TRUTH).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    best: dict[str, dict[str, dict[str, float]]] = {}
    for split in CSV_NAMES:
        here = [row for row in rows if row["split"] == split]
        labels = np.array([EMOTIONS.index(row["emotion"]) for row in here])
        by_modality = {
            name: np.array(
                [[float(row[f"{name}_{emotion}"]) for emotion in EMOTIONS] for row in here]
            )
            for name in CUES
        }
        by_modality["fused"] = optimum(np.stack(list(by_modality.values())))
        best[split] = {
            name: {
                "expected": float(p.max(1).mean()),
                "realised": float((p.argmax(1) == labels).mean()),
            }
            for name, p in by_modality.items()
        }
    return best


def _utterances() -> dict[str, list[Utterance]]:
    """The utterances of each split, with MELD's flaws."""
    streams = {
        name: random.Random(f"{SEED}/{name}") for name in ("emotion", "frame", "flaws", *CUES)
    }
    splits = {split: [_draw(split, streams) for _ in range(count)] for split, count in ROWS.items()}
    spoil(
        {split: [utterance.line for utterance in rows] for split, rows in splits.items()},
        streams["frame"],
        streams["flaws"],
    )
    return splits


def _contents() -> tuple[dict[str, bytes], list[Plan], list[str]]:
    splits = _utterances()
    shown = {
        split: [(utterance.line, utterance.cues) for utterance in rows]
        for split, rows in splits.items()
    }
    plans, stubs = plan_clips(shown, SEED)
    contents = {
        CSV_NAMES[split]: csv_bytes([utterance.line for utterance in rows])
        for split, rows in splits.items()
    }
    contents[TRUTH] = _truth([utterance for rows in splits.values() for utterance in rows])
    return contents, plans, stubs


def _draw(split: str, streams: dict[str, random.Random]) -> Utterance:
    emotion = streams["emotion"].choices(EMOTIONS, weights=[PRIOR[name] for name in EMOTIONS])[0]
    text, cue = _wording(emotion, streams["text"])
    utterance = Utterance(split, emotion, {"text": cue})
    for modality in ("audio", "video"):
        given_K = CUES[modality].given_emotion[EMOTIONS.index(emotion)]
        utterance.cues[modality] = streams[modality].choices(
            CUES[modality].names, weights=given_K.tolist()
        )[0]
    utterance.line.text = text
    utterance.line.emotion = emotion
    # Surprise alone can be either; in MELD about half of it is positive.
    positive = streams["emotion"].random() < 0.5
    utterance.line.sentiment = {"neutral": "neutral", "joy": "positive"}.get(
        emotion, "positive" if emotion == "surprise" and positive else "negative"
    )
    return utterance


def _wording(emotion: str, stream: random.Random) -> tuple[str, str]:
    """A sentence, and the cue that it shows."""
    cue = emotion
    templates, words = CLEAR[emotion]
    if stream.random() < CUES["text"].share:
        weights = [shares.get(emotion, 0.0) for shares in CUES["text"].sets.values()]
        cue = stream.choices(list(AMBIGUOUS), weights=weights)[0]
        _, templates, words = AMBIGUOUS[cue]
    # Short sentences occur more than once, under several labels, as in MELD.
    bare = stream.random() < 0.4
    clause = stream.choice(templates).format(
        t="that" if bare else stream.choice(TOPICS), w=stream.choice(words)
    )
    opener = f"{stream.choice(OPENERS)} " if not bare and stream.random() < 0.4 else ""
    tail = f" {stream.choice(TAILS)}" if not bare and stream.random() < 0.6 else ""
    sentence = f"{opener}{clause}{tail}{stream.choice(('.', '.', '!', '?', '...'))}"
    return sentence[0].upper() + sentence[1:], cue


def _truth(utterances: list[Utterance]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{modality}_{what}" for modality in CUES for what in ("ambiguous", *EMOTIONS)]
    writer.writerow(["split", "dialogue", "utterance", "emotion", *columns])
    for one in utterances:
        known: list[object] = [one.split, one.line.dialogue, one.line.utterance, one.emotion]
        for modality, cue in one.cues.items():
            posterior = PRIOR if modality in one.line.lost else CUES[modality].posterior(cue)
            known += [int(cue not in EMOTIONS), *(f"{posterior[name]:.6f}" for name in EMOTIONS)]
        writer.writerow(known)
    return text.getvalue().encode()

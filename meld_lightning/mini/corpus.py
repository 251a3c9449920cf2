"""Writes the mini corpus: the project's own small corpus in MELD's layout and with MELD's flaws,
always the same bytes.

Writes {train,dev,test}_sent_emo.csv, the clips in MELD's folders, mini_truth.csv and mini.json
(last) below one folder; read by the very loader that reads MELD. prepare.py calls it. How an
utterance comes about: the emotion is drawn first, from PRIOR and independently of all others; then
the cue of each modality, given the emotion and nothing else (see mini_cues.py): the wording, the
voice, the face. Hence the posterior of each emotion given a cue is known exactly; wording, length,
speaker, neighbours, loudness and colours tell nothing more. Each modality draws from a random
stream of its own: adding one leaves the others as they are.
"""

import csv
import io
import json
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

MINI_VERSION = 5
SEED = 22
ROWS = {"train": 640, "val": 160, "test": 480}
MARKER = "mini.json"
TRUTH = "mini_truth.csv"


@dataclass
class Utterance:
    """One drawn utterance: what is true of it, and the line of CSV that it becomes."""

    split: str
    emotion: str
    cues: dict[str, str]  # by modality
    line: Line = field(default_factory=Line)


def write_mini(root: Path) -> None:
    """Write the mini corpus as the folder `root`, in place of an older one.

    UserError where `root` holds anything else.
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
    from meld_lightning.mini.clips import (
        write_clips,  # PyAV: nothing that only reads a corpus needs it
    )

    contents, plans, stubs = _contents()
    digests = {name: bytes_digest([raw]) for name, raw in contents.items()}
    marker = json.dumps({"version": MINI_VERSION, "files": digests}, indent=1) + "\n"
    with atomic_folder(root) as fresh:
        write_clips(fresh, plans, stubs)
        for name, raw in contents.items():
            (fresh / name).write_bytes(raw)
        (fresh / MARKER).write_text(marker, encoding="utf-8")


def mini_is_current(root: Path) -> bool:
    """Whether `root` holds the mini corpus of this version, its CSV files whole and untouched.

    A clip that was damaged or removed stays so, as one of MELD's would: the corpus report tells of
    it.
    """
    try:
        marker = json.loads((root / MARKER).read_text())
        return bool(marker["version"] == MINI_VERSION) and all(
            file_digest(root / name) == digest for name, digest in marker["files"].items()
        )
    except (
        OSError,
        ValueError,
        KeyError,
    ):  # absent, damaged or foreign: not current, and written anew
        return False


def mini_optimum(root: Path) -> dict[str, dict[str, dict[str, float]]]:
    """The best that any model can do, from mini_truth.csv: split -> modality, or `fused` ->
    {"expected", "realised"}.

    expected: the mean over rows of the largest posterior, an accuracy. realised: how often the
        emotion of largest
    posterior is the label.
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


def _contents() -> tuple[dict[str, bytes], list[Plan], list[str]]:
    streams = {
        name: random.Random(f"{SEED}/{name}") for name in ("emotion", "frame", "flaws", *CUES)
    }
    splits = {split: [_draw(split, streams) for _ in range(count)] for split, count in ROWS.items()}
    spoil(
        {split: [utterance.line for utterance in rows] for split, rows in splits.items()},
        streams["frame"],
        streams["flaws"],
    )
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
    positive = (
        streams["emotion"].random() < 0.5
    )  # of surprise alone, which is either in MELD, about evenly
    utterance.line.sentiment = {"neutral": "neutral", "joy": "positive"}.get(
        emotion, "positive" if emotion == "surprise" and positive else "negative"
    )
    return utterance


def _wording(emotion: str, stream: random.Random) -> tuple[str, str]:
    """A sentence and the cue that it is."""
    cue = emotion
    templates, words = CLEAR[emotion]
    if stream.random() < CUES["text"].share:
        weights = [shares.get(emotion, 0.0) for shares in CUES["text"].sets.values()]
        cue = stream.choices(list(AMBIGUOUS), weights=weights)[0]
        _, templates, words = AMBIGUOUS[cue]
    bare = (
        stream.random() < 0.4
    )  # short, so that the same text comes up under several labels, as in MELD
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

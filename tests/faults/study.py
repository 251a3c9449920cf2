"""A study of six utterances, small enough that its commands can be run thousands of times.

`write_inputs` writes what it reads: a manifest with sound, an encoder of text, tables. `COMMANDS`
are the commands that make it, in their order. Used by tests/faults.
"""

import csv
import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.small import save_bert

WORDS = {"joy": "nice", "anger": "bad"}
TABLES = {
    "tiny": """
title: Two models
rows:
  text: [model=bert, optimizer.lr=1e-3, epochs=1, data.batch_size=4]
  audio: [model=mfcc, optimizer.lr=1e-3, epochs=1, data.batch_size=4]
metrics: {test/accuracy: accuracy}
""",
    "fused": """
title: Fused
sources: {text: table_tiny.text, audio: table_tiny.audio}
rows: {T+A: [fusion=average]}
metrics: {test/accuracy: accuracy}
""",
}
ROW = ["optimizer.lr=1e-3", "epochs=1", "data.batch_size=4"]


def write_inputs(given: Path) -> None:
    """Writes the study's inputs into `given`, which every run of its commands reads."""
    draw = np.random.default_rng(0)
    rows: list[dict[str, str]] = []
    for split in ("train", "val", "test"):
        for emotion, word in WORDS.items():
            name = f"u{len(rows)}"
            with wave.open(str(given / f"{name}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(16000)
                file.writeframes((draw.standard_normal(2000) * 3000).astype("<i2").tobytes())
            rows.append(
                {
                    "id": name,
                    "split": split,
                    "text": f"so {word}",
                    "emotion": emotion,
                    "speaker": "Ann",
                    "dialogue": f"d{len(rows)}",
                    "audio": f"{name}.wav",
                }
            )
    with (given / "tiny.csv").open("w", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    save_bert(given / "bert", ["so", *WORDS.values()])
    (given / "conf" / "table").mkdir(parents=True)
    for name, text in TABLES.items():
        path = given / "conf" / "table" / f"table_{name}.yaml"
        path.write_text(f"# @package table.table_{name}\n{text}")


def _corpus(given: Path) -> list[str]:
    return ["corpus=manifest", f"corpus.root={given}/tiny.csv", "corpus.name=tiny"]


def _study(given: Path) -> list[str]:
    return [
        "--config-dir",
        f"{given}/conf",
        *_corpus(given),
        f"checkpoints.bert={given}/bert",
        "media.keep=[audio]",
    ]


def _run(folder: Path, name: str) -> str:
    [run] = folder.glob(f"runs/{name}/*")
    return str(run.relative_to(folder))


Arguments = Callable[[Path, Path], Sequence[str]]
# name -> the command's arguments, from the inputs and the folder it runs in
COMMANDS: dict[str, Arguments] = {
    "prepare": lambda given, _: ["prepare", *_study(given), "media.processes=1"],
    "train text": lambda given, _: ["train", *_study(given), "model=bert", *ROW],
    "train audio": lambda given, _: ["train", *_study(given), "model=mfcc", *ROW],
    "fuse": lambda given, folder: [
        "fuse",
        *_corpus(given),
        "fusion=average",
        f"runs.text={_run(folder, 'text-bert')}",
        f"runs.audio={_run(folder, 'audio-mfcc')}",
    ],
    "report": lambda given, _: [
        "report",
        *_study(given),
        "tables=[table_tiny,table_fused]",
    ],
    "predict": lambda given, folder: [
        "predict",
        f"{given}/u5.wav",
        "text=so nice",
        f"from={_run(folder, 'fusion-average')}",
        "out=answers.csv",
    ],
}

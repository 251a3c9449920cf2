"""Makes the run folders, the evidence and the export that later versions have to read.

    python -m tests.backwards.make FOLDER

Writes FOLDER: a manifest corpus with clips, a small BERT, and what `prepare`, `reproduce`, `export`
and `predict` of this version make of them. `kept/` beside this file was written so, by the version
that kept/VERSION names. It is never written again for a later version: that version gets a folder
of its own, kept_VERSION, and the tests read every folder.
"""

import csv
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np

from tests.small import save_bert

HERE = Path(__file__).parent
EMOTIONS = ("neutral", "joy", "anger")
WORDS = {"neutral": "the train leaves now", "joy": "what a happy day", "anger": "stop that at once"}
RATE = 8000
SPLITS = (("train", 5), ("val", 3), ("test", 3))  # rows of each emotion
# what can be made again
LEFT_OUT = (
    *("cache", "configs", "multirun", "outputs", "reports"),
    *("runs/.locks", "runs/*/*/reliability.*"),
)


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    shutil.copytree(HERE / "configs", folder / "configs")
    write_corpus(folder)
    words = sorted({word for text in WORDS.values() for word in text.split()})
    save_bert(
        folder / "bert",
        words,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        max_position_embeddings=64,
    )
    own = ["--config-dir", "configs", "study=kept"]
    command(folder, "prepare", *own)
    command(folder, "reproduce", *own)
    [fused] = folder.glob("runs/fusion-learned/*")
    command(folder, "export", f"from={fused.relative_to(folder)}", "to=export")
    texts = [f"text={text}" for text in WORDS.values()]
    command(folder, "predict", *texts, "from=export", "out=predictions.json")
    (folder / "VERSION").write_text(version("meld-lightning") + "\n")
    for name in LEFT_OUT:
        for path in folder.glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_corpus(folder: Path) -> None:
    """corpus.csv, and a tone for each row, whose pitch follows the emotion."""
    (folder / "clips").mkdir()
    with (folder / "corpus.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "split", "dialogue", "speaker", "text", "emotion", "clip"])
        for split, number in SPLITS:
            for place in range(number * len(EMOTIONS)):
                emotion = EMOTIONS[place % len(EMOTIONS)]
                name = f"{split}{place}"
                clip = f"clips/{name}.wav"
                write_tone(folder / clip, 200.0 * (1 + EMOTIONS.index(emotion)) + place)
                dialogue = f"{split}{place // 3}"
                rows.writerow([name, split, dialogue, "Ann", WORDS[emotion], emotion, clip])


def write_tone(path: Path, pitch: float) -> None:
    times = np.arange(RATE // 8) / RATE
    sound = (8000 * np.sin(2 * np.pi * pitch * times)).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def command(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "meld_lightning", *arguments], cwd=folder, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

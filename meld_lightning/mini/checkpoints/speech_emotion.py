"""Writes the mini corpus's speech emotion classifier, randomly initialised, with the four labels of
superb/wav2vec2-base-superb-er. Used by `prepare`."""

from pathlib import Path

from meld_lightning.mini.checkpoints import MiniSources
from meld_lightning.mini.checkpoints.wav2vec2 import write_as

LABELS = ("neu", "hap", "ang", "sad")


def write(folder: Path, sources: MiniSources) -> None:
    """A wav2vec2 classifier as save_pretrained writes it."""
    from transformers import Wav2Vec2ForSequenceClassification

    names = dict(enumerate(LABELS))
    write_as(
        folder,
        Wav2Vec2ForSequenceClassification,
        id2label=names,
        label2id={v: k for k, v in names.items()},
    )

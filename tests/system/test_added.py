"""The lists "To add a ..." taken literally: a user's own files in a folder of their own, as many as
the list promises, and then a run of what they add.

A class lies in the folder that the command runs in, a config file in one that --config-dir names.
The lists for a corpus layout and a fusion have their tests in tests/corpus/test_new_layout.py and
tests/fusion/test_own_method.py.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meld_lightning import load_corpus, load_run
from meld_lightning.runs.run import Run
from tests.running import Command, folder_over
from tests.small import save_bert

TEXT_MODEL = {
    "words.py": '''
import torch
from transformers import AutoConfig

from meld_lightning.data.text import TextBatch
from meld_lightning.models.classifier import Classifier


class MeanOfWords(Classifier):
    """The mean of learnt word vectors and one linear layer."""

    def __init__(self, name: str, checkpoint: str, width: int, *, labels, **training):
        super().__init__(class_weights="none", label_smoothing=0.0, **training)
        torch.manual_seed(self.seed)
        words = AutoConfig.from_pretrained(checkpoint).vocab_size
        self.vectors = torch.nn.EmbeddingBag(words, width, padding_idx=0)
        self.head = torch.nn.Linear(width, len(labels))

    def forward(self, batch: TextBatch) -> torch.Tensor:
        return self.head(self.vectors(batch.input_ids_NT))
''',
    "my_conf/model/words.yaml": """
_target_: words.MeanOfWords
name: words
checkpoint: my_checkpoint
width: 16
""",
}

VISUAL_MODEL = {
    "colours.py": '''
import torch

from meld_lightning.data.video import VideoBatch
from meld_lightning.models.classifier import Classifier
from meld_lightning.models.layers import Standardise


class Thumbnail(torch.nn.Module):
    """A frame encoder: the frame at a few pixels a side."""

    def __init__(self, checkpoint, size: int, side: int = 4):
        super().__init__()
        self.pool = torch.nn.AdaptiveAvgPool2d(side)

    def forward(self, frames_FSS3):
        return self.pool(torch.from_numpy(frames_FSS3).permute(0, 3, 1, 2).float() / 255).flatten(1)


class ColourProbe(Classifier):
    """A linear layer on the mean thumbnail of a clip."""

    def __init__(self, name: str, width: int = 48, *, labels, **training):
        super().__init__(class_weights="none", label_smoothing=0.0, **training)
        self.standardise = Standardise(width)
        self.head = torch.nn.Linear(width, len(labels))

    def forward(self, batch: VideoBatch) -> torch.Tensor:
        mean_ND = batch.embeds_NFD.sum(1) / batch.frames_N[:, None]
        return self.head(self.standardise(mean_ND, batch.owned_N))
''',
    "my_conf/model/colours.yaml": """
# @package _global_
defaults:
  - override /data: video

model:
  _target_: colours.ColourProbe
  name: colours
data:
  encoder:
    _target_: colours.Thumbnail
""",
}

FOURTH_MODALITY = {
    "gesture_data.py": '''
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from meld_lightning.data.datamodule import CorpusDataModule


class GestureBatch(NamedTuple):
    pose_ND: torch.Tensor
    labels_N: torch.Tensor
    rows_N: torch.Tensor
    owned_N: torch.Tensor
    labels_G: torch.Tensor


class GestureDataModule(CorpusDataModule):
    """Poses of the body, one row an utterance of the corpus; NaN where nobody is seen."""

    modality: ClassVar[str] = "gesture"
    decoded: ClassVar[str | None] = None

    def __init__(self, file: str, batch_size: int = 32, *, sources, **loading):
        self.poses_ND = np.load(file).astype(np.float32)
        super().__init__(
            sources=sources,
            lengths_N=np.ones(len(self.poses_ND)),
            present_N=np.isfinite(self.poses_ND).all(1),
            batch_size=batch_size,
            sampling="shuffled",
            **loading,
        )

    def batch(self, rows, shared) -> GestureBatch:
        return GestureBatch(torch.from_numpy(self.poses_ND[rows]), **shared._asdict())
''',
    "gesture_model.py": """
import torch
from gesture_data import GestureBatch

from meld_lightning.models.classifier import Classifier


class GestureClassifier(Classifier):
    def __init__(self, name: str, width: int = 7, *, labels, **training):
        super().__init__(class_weights="none", label_smoothing=0.0, **training)
        self.head = torch.nn.Linear(width, len(labels))

    def forward(self, batch: GestureBatch) -> torch.Tensor:
        return self.head(batch.pose_ND)
""",
    "my_conf/data/gesture.yaml": """
_target_: gesture_data.GestureDataModule
file: poses.npy
batch_size: 32
""",
    "my_conf/model/gesture.yaml": """
defaults:
  - override /data@_global_.data: gesture

_target_: gesture_model.GestureClassifier
name: gesture
""",
}


@pytest.fixture
def added(tmp_path: Path) -> Callable[..., Path]:
    """added(prepared, files, at_most=N) -> a folder with a user's own files, over a shared
    cache."""

    def write(prepared: Path, files: dict[str, str], at_most: int) -> Path:
        assert len(files) <= at_most
        folder = folder_over(prepared, tmp_path / "own")
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content.lstrip())
        return folder

    return write


def trained(command: Command, folder: Path, modality: str, model: str, *options: str) -> Run:
    asked = [f"model={model}", "optimizer.lr=1e-2", *options]
    done = command("train", "--config-dir", "my_conf", *asked, cwd=folder)
    assert done.returncode == 0, done.stderr
    [result] = folder.glob(f"runs/{modality}-{model}/*/result.json")
    run = load_run(result.parent)
    assert run.result.model == model
    assert run.result.modality == modality
    return run


@pytest.mark.slow
def test_a_text_model_with_a_checkpoint_of_its_own_is_two_files(
    prepared: Path, added: Callable[..., Path], meld_lightning: Command
) -> None:
    folder = added(prepared, TEXT_MODEL, at_most=2)
    text = load_corpus(prepared / "cache/mini").table["text"]
    vocabulary = sorted({word for line in text for word in line.lower().split()})
    save_bert(folder / "my_checkpoint", vocabulary)
    own = ["--config-dir", "my_conf", "model=words"]
    unprepared = meld_lightning("train", *own, cwd=folder)
    assert "prepare, with the same checkpoints=, or with +checkpoints.own=my" in unprepared.stderr
    done = meld_lightning(
        "prepare", "+checkpoints.own=my_checkpoint", "checkpoints.clip=null", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    run = trained(meld_lightning, folder, "text", "words", "epochs=2", "--multirun")
    assert run.result.checkpoint == "my_checkpoint"
    assert run.result.metrics["test"]["accuracy"] > 0.46, "no better than the constant baseline"
    refused = meld_lightning("train", *own, "model.widht=3", cwd=folder)
    assert "'model.widht' is not known (did you mean 'model.width'?)" in refused.stderr


@pytest.mark.slow
def test_a_visual_model_with_a_frame_encoder_of_its_own_is_two_files(
    with_clips: Path, added: Callable[..., Path], meld_lightning: Command
) -> None:
    folder = added(with_clips, VISUAL_MODEL, at_most=2)
    run = trained(meld_lightning, folder, "video", "colours", "epochs=2")
    assert run.result.digests.keys() == {"corpus", "media"}  # no checkpoint, and no CLIP
    assert len(run.logits("test")) == 480


@pytest.mark.slow
def test_a_fourth_modality_is_four_files_and_can_be_fused(
    prepared: Path, finished: Path, added: Callable[..., Path], meld_lightning: Command
) -> None:
    folder = added(prepared, FOURTH_MODALITY, at_most=4)
    table = load_corpus(prepared / "cache/mini").table
    emotion_N = pd.factorize(table["emotion"])[0]
    poses = 2 * np.eye(7)[emotion_N] + np.random.default_rng(0).standard_normal((len(table), 7))
    poses[::10] = np.nan
    np.save(folder / "poses.npy", poses)
    run = trained(meld_lightning, folder, "gesture", "gesture", "epochs=3")
    assert run.result.digests.keys() == {"corpus"}
    logits = run.logits("test")
    assert len(logits) == (table["split"] == "test").sum()
    assert 0 < (~logits["present"]).sum() < len(logits)
    alone = run.result.metrics["test"]["weighted_f1"]
    done = meld_lightning(
        "fuse", f"runs.text={finished}", f"runs.gesture={run.folder}", "fusion=learned", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    [fused] = folder.glob("runs/fusion-*/*/result.json")
    assert load_run(fused.parent).result.metrics["test"]["weighted_f1"] >= alone - 0.05

"""Weights without pickles: every kind of model is made again from them, bit for bit, and a
fine-tuned checkpoint is stored once."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from meld_lightning.inference.weights import write_weights
from meld_lightning.models.audio import (
    AudioClassifier,
    AudioProbe,
    MfccClassifier,
    SpeechCheckpoint,
)
from meld_lightning.models.classifier import Classifier
from meld_lightning.models.text import TextClassifier
from meld_lightning.models.video import ClipProbe, ClipZeroShot
from tests.repeats import few
from tests.small import LABELS, TRAINING, save_bert, save_clip, save_speech, save_whisper

Make = Callable[..., Any]
SPEECH_LABELS = {"LABEL_0": "joy", "LABEL_1": "anger"}
KINDS: dict[str, tuple[Callable[[Path], Path] | None, Make]] = {
    "text": (lambda at: save_bert(at, ["oh", "no"]), partial(TextClassifier, "m")),
    "mean": (
        lambda at: save_bert(at, ["oh", "no"]),
        partial(TextClassifier, "m", pooling="mean"),
    ),
    "speech": (save_speech, partial(AudioClassifier, "m")),
    "frozen": (save_speech, partial(AudioClassifier, "m", train="head")),
    "whisper": (save_whisper, partial(AudioClassifier, "m")),
    "probe": (save_speech, partial(AudioProbe, "m")),
    "emotion": (save_speech, partial(SpeechCheckpoint, "m", label_map=SPEECH_LABELS)),
    "clip": (save_clip, partial(ClipZeroShot, "m")),
    "clip_probe": (save_clip, partial(ClipProbe, "m")),
    "mfcc": (None, partial(MfccClassifier, "m", 20, 8)),
}


@pytest.mark.parametrize("kind", few(KINDS, 4))
def test_a_model_is_made_again_from_its_files(kind: str, tmp_path: Path) -> None:
    save, make = KINDS[kind]
    folders = [save(tmp_path / "checkpoint")] if save else []
    trained = make(*folders, **TRAINING)
    with torch.no_grad():  # as an optimiser would
        for parameter in trained.parameters():
            if parameter.requires_grad:
                parameter.add_(0.01)

    def remade(folder: Path) -> Classifier:
        return make(folder, **{**TRAINING, "seed": 2})

    target = tmp_path / "export"
    target.mkdir()
    write_weights(trained, folders[0] if folders else None, LABELS, target, remade)
    again = make(*([target / "checkpoint"] if folders else []), **{**TRAINING, "seed": 3})
    again.load_state_dict({**again.state_dict(), **load_file(target / "model.safetensors")})
    state, other = trained.state_dict(), again.state_dict()
    assert state.keys() == other.keys()
    assert all(torch.equal(state[key], other[key]) for key in state)
    if kind in ("clip", "clip_probe"):
        assert (target / "checkpoint" / "preprocessor_config.json").is_file() or (
            target / "checkpoint" / "processor_config.json"
        ).is_file()
    assert not list(target.rglob("*.bin"))


@pytest.mark.parametrize(
    ("kind", "inner"),
    [("text", "encoder.bert."), ("speech", "encoder.model."), ("emotion", "model.")],
)
def test_a_transformers_model_is_stored_once(kind: str, inner: str, tmp_path: Path) -> None:
    save, make = KINDS[kind]
    assert save is not None
    folder, target = save(tmp_path / "checkpoint"), tmp_path / "export"
    trained = make(folder, **TRAINING)
    target.mkdir()
    write_weights(trained, folder, LABELS, target, lambda at: make(at, **{**TRAINING, "seed": 2}))
    own = load_file(target / "model.safetensors")
    assert not [key for key in own if key.startswith(inner)]
    assert (kind == "emotion") == (not own)  # nothing of it is trained
    assert any(key.startswith(inner) for key in trained.state_dict())


def test_paths_in_a_checkpoints_settings_are_removed_and_pickled_weights_converted(
    tmp_path: Path,
) -> None:
    folder = save_speech(tmp_path / "checkpoint")
    weights = load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["_name_or_path"] = str(folder)
    (folder / "config.json").write_text(json.dumps(config))
    trained = AudioProbe("m", folder, **TRAINING)
    (tmp_path / "export").mkdir()
    write_weights(trained, folder, LABELS, tmp_path / "export", lambda at: trained)
    copied = tmp_path / "export" / "checkpoint"
    assert str(tmp_path) not in (copied / "config.json").read_text()
    assert not (copied / "pytorch_model.bin").exists()
    found = load_file(copied / "model.safetensors")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[key], weights[key]) for key in weights)

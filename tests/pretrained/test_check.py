"""Checkpoints that training could not use are refused before they are recorded, each in one line
that names what is missing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers as tf

from meld_lightning.errors import UserError
from meld_lightning.pretrained.check import check_loads
from meld_lightning.pretrained.checkpoints import prepare_checkpoint
from tests.pretrained.families import save_text
from tests.small import save_clip, save_speech, save_whisper


def save_bert_text(folder: Path) -> Path:
    return save_text(folder, "bert")


def cut_short(name: str) -> Callable[[Path], object]:
    def cut(folder: Path) -> object:
        content = (folder / name).read_bytes()
        return (folder / name).write_bytes(content[: len(content) // 2])

    return cut


def gone(*names: str) -> Callable[[Path], object]:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)

    return remove


def pointer(folder: Path) -> object:
    """What git leaves without LFS."""
    return (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def quantised(folder: Path) -> object:
    path = folder / "config.json"
    said = json.loads(path.read_text()) | {"quantization_config": {"quant_method": "fp8"}}
    return path.write_text(json.dumps(said))


PROCESSORS = ("preprocessor_config.json", "processor_config.json")
SAVED = {
    "bert": save_bert_text,
    "wav2vec2": save_speech,
    "speech_emotion": save_speech,
    "clip": save_clip,
}


@pytest.mark.parametrize("role", SAVED)
def test_complete_checkpoints_pass(role: str, tmp_path: Path) -> None:
    check_loads(SAVED[role](tmp_path), role)


@pytest.mark.parametrize(
    ("role", "damage", "message"),
    [
        ("bert", gone("tokenizer.json", "tokenizer_config.json"), "expected tokenizer.json"),
        ("bert", quantised, r"its weights are quantised \(fp8\)"),
        ("bert", cut_short("model.safetensors"), "the model cannot be loaded"),
        ("bert", pointer, "the model cannot be loaded"),
        ("bert", save_speech, "weights lack|tokenizer"),
        ("wav2vec2", gone(*PROCESSORS), "no feature extractor .* expected preprocessor_config"),
        ("wav2vec2", save_clip, "model type clip is not a supported speech encoder"),
        ("speech_emotion", gone(*PROCESSORS), "no feature extractor in it"),
        (
            "speech_emotion",
            lambda folder: tf.AutoModel.from_pretrained(folder).save_pretrained(folder),
            "its weights lack classifier.bias",
        ),
        ("clip", gone(*PROCESSORS), "no image processor in it"),
        ("clip", save_whisper, "model type whisper is not a supported encoder of pictures"),
        ("clip", cut_short("config.json"), "config.json cannot be loaded"),
    ],
)
def test_what_training_would_refuse_is_refused_before_it_is_recorded(
    role: str, damage: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    folder = SAVED[role](tmp_path / "model")
    damage(folder)
    cache = tmp_path / "cache"
    with pytest.raises(UserError, match=message) as caught:
        prepare_checkpoint(str(folder), cache, check=lambda found: check_loads(found, role))
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    assert not list(cache.rglob("*.json"))

"""CLIP and its like: transformers' own zero-shot scores for every supported architecture; others
and incomplete checkpoints are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf

from meld_lightning.errors import UserError
from meld_lightning.pretrained.clip import CLIPS, Clip, embedding_size, label_vectors
from tests.repeats import few
from tests.small import LABELS, TOWER, save_bert, save_clip

VISION: dict[str, Any] = {**TOWER, "image_size": 32, "patch_size": 8}
TEXT: dict[str, Any] = {**TOWER, "vocab_size": 20, "pad_token_id": 0, "max_position_embeddings": 24}
WORDS = ["a", "face", *LABELS]
PROMPT = "a face {label}"


def save(folder: Path, model_type: str) -> Path:
    """A random model of the type, its towers' embeddings spread so that prompts differ."""
    if model_type == "clip":
        return save_clip(folder)
    save_bert(folder, WORDS)
    special = {"bos_token_id": 2, "eos_token_id": 3, "project_dim": 24}
    config: Any = tf.AutoConfig.for_model(
        model_type,
        text_config={**TEXT, **special},
        vision_config=VISION,
        **({} if model_type == "siglip" else {"projection_dim": 24}),
    )
    torch.manual_seed(0)
    model: Any = tf.AutoModel.from_config(config)
    if hasattr(model, "logit_bias"):
        model.logit_bias.data.fill_(-3.0)
    model.logit_scale.data.fill_(2.0)
    model.save_pretrained(folder)
    normal: dict[str, Any] = {"image_mean": [0.5] * 3} if model_type == "siglip" else {}
    size: dict[str, Any] = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    tf.CLIPImageProcessor(**size, **normal).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("model_type", few(CLIPS, 2))
def test_scores_are_transformers_own(model_type: str, tmp_path: Path) -> None:
    folder = save(tmp_path, model_type)
    frames = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    theirs: Any = tf.AutoModel.from_pretrained(folder).eval()
    siglip = model_type == "siglip"
    tokens = tf.AutoTokenizer.from_pretrained(folder)(
        [PROMPT.format(label=label) for label in LABELS],
        return_tensors="pt",
        **({"padding": "max_length", "max_length": 24} if siglip else {"padding": True}),
    )
    pixels = tf.AutoImageProcessor.from_pretrained(folder)(list(frames), return_tensors="pt")
    with torch.inference_mode():
        expected = theirs(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], **pixels
        ).logits_per_image
        clip = Clip(folder, 32).eval()
        vectors_CD = label_vectors(clip, [PROMPT], LABELS)
        found = clip.scale * clip.images(frames) @ vectors_CD.T
    assert vectors_CD.shape == (len(LABELS), embedding_size(folder))
    assert expected.softmax(1).std(1).min() > 1e-4
    assert (found.softmax(1) - expected.softmax(1)).abs().max() < 1e-5
    bias = -3.0 if siglip else 0.0
    assert (found + bias - expected).abs().max() < 1e-4


@pytest.mark.parametrize("model_type", ["siglip2", "clipseg", "bert", "vit"])
def test_another_architecture_is_refused(model_type: str, tmp_path: Path) -> None:
    tf.AutoConfig.for_model(model_type).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="expected clip, siglip") as caught:
        Clip(tmp_path, None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("processor_config.json", "preprocessor_config.json"), "no image processor in it"),
        (("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"), "tokenizer"),
    ],
)
def test_an_incomplete_checkpoint_is_refused(
    files: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    folder = save_clip(tmp_path)
    for name in files:
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(UserError, match=message) as caught:
        Clip(folder, 32)
    assert "\n" not in str(caught.value)


def test_the_config_belongs_to_the_weights(tmp_path: Path) -> None:
    folder = save_clip(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["projection_dim"] = 30
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="has shape"):
        Clip(folder, 32)

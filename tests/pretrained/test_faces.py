"""The networks for faces equal the same networks written with torch's functions alone, whichever
way their weights are stored."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as tf

from meld_lightning.errors import UserError
from meld_lightning.media import read_frames
from meld_lightning.pretrained.check import check_loads
from meld_lightning.pretrained.checkpoints import prepare_checkpoint, prepared_checkpoint
from meld_lightning.pretrained.faces import (
    FaceEncoder,
    face_labels,
    face_width,
    nested_sides,
)
from meld_lightning.pretrained.labels import map_by_name
from tests.faces import (
    SHARED,
    expression_logits,
    write_detector,
    write_expression,
    write_shards,
    write_xception,
    xception_logits,
)

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")


def faces(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)


def as_pictures(faces_FSS3: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(faces_FSS3).permute(0, 3, 1, 2).float()


def test_face_expression_net(tmp_path: Path) -> None:
    weights = write_expression(tmp_path)
    found = FaceEncoder(tmp_path)(faces(112))
    expected = expression_logits(weights, as_pictures(faces(112)))
    assert found.shape == (2, face_width(tmp_path)) == (2, 256 + 7)
    torch.testing.assert_close(found[:, 256:], expected, rtol=1e-4, atol=1e-4)
    # the features are what the last layer reads
    again = found[:, :256] @ weights["fc/weights"].T + weights["fc/bias"]
    torch.testing.assert_close(again, expected, rtol=1e-4, atol=1e-4)
    shards = tmp_path / "npm"
    shards.mkdir()
    dequantised = write_shards(weights, shards, "face_expression")
    from_shards = FaceEncoder(shards)(faces(112))[:, 256:]
    expected = expression_logits(dequantised, as_pictures(faces(112)))
    torch.testing.assert_close(from_shards, expected, rtol=1e-4, atol=1e-4)


def test_mini_xception(tmp_path: Path) -> None:
    weights = write_xception(tmp_path)
    found = FaceEncoder(tmp_path)(faces(64))
    assert found.shape == (2, face_width(tmp_path)) == (2, 128 + 7)
    expected = xception_logits(weights, as_pictures(faces(64)))
    torch.testing.assert_close(found[:, 128:], expected, rtol=1e-4, atol=1e-4)
    assert face_labels(tmp_path)[3:5] == ("joy", "sadness")


def test_any_image_classifier(tmp_path: Path) -> None:
    config = tf.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        image_size=32, patch_size=16, id2label={0: "happy", 1: "Anger", 2: "contempt"},
        label2id={"happy": 0, "Anger": 1, "contempt": 2},
    )  # fmt: skip
    torch.manual_seed(0)
    model = tf.ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path)
    processor = tf.ViTImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path)
    check_loads(tmp_path, "face")
    found = FaceEncoder(tmp_path).eval()(faces(48))
    expected = model(**processor(images=list(faces(48)), return_tensors="pt")).logits
    assert found.shape == (2, face_width(tmp_path)) == (2, 16 + 3)
    torch.testing.assert_close(found[:, 16:], expected)
    torch.testing.assert_close(model.classifier(found[:, :16]), expected)
    assert face_labels(tmp_path) == ("happy", "Anger", "contempt")


def test_nested_crops_are_averaged(tmp_path: Path) -> None:
    write_expression(tmp_path)
    pictures, sides = faces(100), nested_sides(100, 3)
    assert sides == [100, 85, 70]
    with torch.inference_mode():
        found = FaceEncoder(tmp_path, 100, nested=3)(pictures)
        each = [
            FaceEncoder(tmp_path, 100)(pictures[:, start : start + side, start : start + side])
            for start, side in zip((0, 7, 15), sides, strict=True)
        ]
    features = sum(one[:, :256] for one in each) / 3
    shares = sum(one[:, 256:].softmax(1) for one in each) / 3
    torch.testing.assert_close(found[:, :256], features)
    torch.testing.assert_close(found[:, 256:].exp(), shares)


def test_labels_of_the_same_emotion_are_matched_by_name() -> None:
    assert map_by_name(("happy", "Anger", "contempt"), EMOTIONS) == {
        "happy": "joy",
        "Anger": "anger",
    }
    with pytest.raises(UserError, match=r"model.label_map: none of .*contempt.* is one of"):
        map_by_name(("contempt",), EMOTIONS)


def test_a_folder_of_face_networks_is_a_checkpoint(tmp_path: Path) -> None:
    folder, cache = tmp_path / "face-api", tmp_path / "cache"
    write_expression(folder)
    write_detector(folder)
    (folder / "LICENSE").write_text("MIT")
    checkpoint = prepare_checkpoint(
        str(folder), cache, check=lambda found: check_loads(found, "face")
    )
    assert prepared_checkpoint(str(folder), cache) == checkpoint
    write_expression(folder, seed=1)
    with pytest.raises(UserError, match=r"face_expression.safetensors is not the file"):
        prepared_checkpoint(str(folder), cache)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    write_detector(tmp_path / "other")
    with pytest.raises(UserError, match=r"no weights of a face network|config.json"):
        check_loads(tmp_path / "other", "face")
    shutil.move(
        tmp_path / "other/tiny_face_detector.safetensors",
        tmp_path / "other/face_expression.safetensors",
    )
    with pytest.raises(UserError, match="are not those of FaceExpressionNet"):
        check_loads(tmp_path / "other", "face")
    (tmp_path / "other/face_expression.safetensors").write_bytes(b"short")
    with pytest.raises(UserError, match="face_expression.safetensors: cannot be read"):
        check_loads(tmp_path / "other", "face")
    with pytest.raises(UserError, match="neither tiny_face_detector.safetensors nor"):
        check_loads(tmp_path / "other", "face_detector")


@pytest.mark.slow
def test_published_weights_on_real_faces() -> None:
    """How many of the 52 clips the mean over their frames gets right: .462, as was measured with
    the published package's own preprocessing."""
    checkpoint, root = SHARED / "checkpoints/face-api", SHARED / "data/ravdess"
    if not checkpoint.is_dir() or not root.is_dir():
        pytest.skip(f"no {checkpoint} and {root}")
    encoder, labels = FaceEncoder(checkpoint), face_labels(checkpoint)
    with (root / "clips.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        logits = encoder(read_frames(root / row["clip"]))[:, -len(labels) :]
        found.append(labels[int(torch.softmax(logits, 1).mean(0).argmax())] == row["emotion"])
    assert (len(found), sum(found)) == (52, 24)

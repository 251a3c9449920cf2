"""Video models: CLIP's zero-shot scores as transformers computes them, aggregation over frames,
prompts, and the probe."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPModel, CLIPProcessor

from meld_lightning.data.video import VideoBatch
from meld_lightning.errors import UserError
from meld_lightning.models.video import ClipProbe, ClipZeroShot, aggregated, mixed, own_frames
from meld_lightning.pretrained.clip import Clip, label_vectors
from tests.small import LABELS, TRAINING, save_clip

PROMPTS = ["a photo of a person feeling {label}", "{label}"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


def batch_of(embeds: torch.Tensor, *counts: int) -> VideoBatch:
    """A batch of clips, whose frames are given end to end."""
    padded = torch.nn.utils.rnn.pad_sequence(list(embeds.split(list(counts))), batch_first=True)
    labels = torch.arange(len(counts)) % len(LABELS)
    return VideoBatch(
        padded,
        torch.tensor(counts),
        labels,
        labels,
        torch.ones(len(counts), dtype=torch.bool),
        labels,
    )


def test_scores_are_transformers_own(checkpoint: Path, frames: np.ndarray) -> None:
    theirs, processor = (
        CLIPModel.from_pretrained(checkpoint).eval(),
        CLIPProcessor.from_pretrained(checkpoint),
    )
    texts = [PROMPTS[0].format(label=label) for label in LABELS]
    inputs = processor(text=texts, images=list(frames), return_tensors="pt", padding=True)
    with torch.inference_mode():
        expected = theirs(**inputs).logits_per_image
        clip = Clip(checkpoint, 32).eval()
        found = clip.scale * clip.images(frames) @ label_vectors(clip, PROMPTS[:1], LABELS).T
    assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize("how", ["mean", "confidence", "max"])
def test_frames_become_a_clips_score(how: Any, checkpoint: Path, frames: np.ndarray) -> None:
    clip = Clip(checkpoint, 32).eval()
    with torch.inference_mode():
        embeds = clip.images(frames)
        chances = torch.softmax(
            clip.scale * embeds @ label_vectors(clip, PROMPTS, LABELS).T, -1
        ).numpy()
        model = ClipZeroShot("c", checkpoint, PROMPTS, how, **TRAINING).eval()
        found = model(batch_of(embeds, 2, 5)).exp().numpy()
    assert not any(parameter.requires_grad for parameter in model.parameters())
    for row, own in enumerate((chances[:2], chances[2:])):
        weights = own.max(1) if how == "confidence" else np.ones(len(own))
        expected = (
            own.max(0) / own.max(0).sum()
            if how == "max"
            else (weights[:, None] * own).sum(0) / weights.sum()
        )
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


def test_confidence_is_not_the_mean() -> None:
    chances = torch.tensor([[[0.9, 0.05, 0.05], [0.3, 0.3, 0.4]]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    weighted, mean = (aggregated(chances, mask, how)[0] for how in ("confidence", "mean"))
    assert weighted[0] == pytest.approx((0.9 * 0.9 + 0.4 * 0.3) / 1.3)
    assert mean[0] == pytest.approx(0.6)


@pytest.mark.slow
def test_wrong_prompts_and_sizes_are_refused(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="run with media.size=32"):
        Clip(checkpoint, 224)
    wrong = ("a face", "{{label}}", "a {label} {mood}", "{label} {}", "{label", "{label.name}")
    for prompts in ([], *([prompt] for prompt in wrong)):
        with pytest.raises(UserError, match="that contain {label}"):
            ClipZeroShot("c", checkpoint, prompts, "mean", **TRAINING)


@pytest.mark.parametrize("pooling", ["mean", "attentive"])
def test_the_probe_reads_a_clips_own_frames(pooling: Any, checkpoint: Path) -> None:
    model = ClipProbe("p", checkpoint, pooling, 0.0, 0.4, "none", 0.0, **TRAINING).eval()
    batch = batch_of(torch.nn.functional.normalize(torch.randn(7, 24), dim=-1), 2, 5)
    padded_with_99 = batch.embeds_NFD.clone()
    padded_with_99[0, 2:] = 99
    with torch.inference_mode():
        found = model(batch)
        assert torch.allclose(
            model(batch._replace(embeds_NFD=padded_with_99))[0], found[0], atol=1e-5
        )
        one = VideoBatch(batch.embeds_NFD[:1, :2], *(part[:1] for part in batch[1:]))
        assert torch.allclose(model(one)[0], found[0], atol=1e-5)
    model.train()
    loss = model.losses(batch).sum()
    loss.backward()
    assert torch.isfinite(loss)


def test_mix_up_mixes_frames_and_repeats_the_shorter_clip() -> None:
    batch = batch_of(torch.arange(1.0, 8.0)[:, None], 2, 5)
    found = mixed(batch, torch.tensor([1, 0]), torch.tensor(0.75))[..., 0]
    assert found[0].tolist() == [0.75 * 1 + 0.25 * 3, 0.75 * 2 + 0.25 * 4, 0, 0, 0]
    repeated = zip(range(3, 8), (1, 2, 1, 2, 1), strict=True)
    assert found[1].tolist() == [0.75 * own + 0.25 * other for own, other in repeated]
    assert own_frames(batch).sum(1).tolist() == [2, 5]


def test_mix_up_weighs_both_labels_like_the_frames(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, others = torch.tensor(0.75), torch.tensor([1, 0])
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda *_: share)
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: others)
    model = ClipProbe("p", checkpoint, "mean", 0.0, 0.4, "none", 0.0, **TRAINING).eval()
    with torch.no_grad():
        model.classifier.weight.mul_(20)  # so that one label is much likelier than another
    batch = batch_of(torch.nn.functional.normalize(torch.randn(7, 24), dim=-1), 2, 5)
    logits = model(batch._replace(embeds_NFD=mixed(batch, others, share)))
    own, other = (
        torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        for labels in (batch.labels_N, batch.labels_N[others])
    )
    assert (own - other).abs().min() > 0.1
    torch.testing.assert_close(model.losses(batch), 0.75 * own + 0.25 * other)

"""Audio models: transformers' own logits whatever the batch, very short clips, and a training on
the mini corpus."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf

from meld_lightning.data.audio import AudioBatch
from meld_lightning.data.audio_features import AudioFeaturesBatch
from meld_lightning.errors import UserError
from meld_lightning.models.audio import (
    AudioClassifier,
    AudioProbe,
    MfccClassifier,
    SpeechCheckpoint,
)
from meld_lightning.pretrained.speech import SpeechEncoder
from tests.running import Command
from tests.small import LABELS, TRAINING, save_speech, save_whisper

HEAD: dict[str, Any] = {
    "name": "w",
    "train": "all",
    "pooling": "mean",
    "layer_weights": False,
    "spec_augment": True,
    "projection": 24,
    "dropout": 0.0,
    "class_weights": "none",
    "label_smoothing": 0.0,
}


def batch_of(*seconds: float) -> AudioBatch:
    """Noise of these lengths, padded to the longest."""
    samples = [round(16000 * one) for one in seconds]
    wave = torch.zeros(len(samples), max(samples))
    for row, count in enumerate(samples):
        wave[row, :count] = torch.randn(count, generator=torch.Generator().manual_seed(row))
    labels = torch.arange(len(samples)) % len(LABELS)
    rows, owned = torch.arange(len(samples)), torch.ones(len(samples), dtype=torch.bool)
    return AudioBatch(wave, torch.tensor(samples), labels, rows, owned, labels)


def alone(batch: AudioBatch, row: int) -> AudioBatch:
    count = int(batch.samples_N[row])
    return AudioBatch(
        batch.wave_NT[row : row + 1, :count], *(part[row : row + 1] for part in batch[1:])
    )


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Wav2Vec2", {"feat_extract_norm": "group"}),
        (
            "Wav2Vec2",
            {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
        ),
        ("Hubert", {"feat_extract_norm": "group"}),
        ("WavLM", {"feat_extract_norm": "group"}),
    ],
)
def test_logits_are_transformers_own_whatever_the_batch(
    kind: str, config: Any, tmp_path: Path
) -> None:
    folder = save_speech(tmp_path, kind, num_labels=3, **config)
    theirs = tf.AutoModelForAudioClassification.from_pretrained(folder).eval()
    ours = AudioClassifier(checkpoint=folder, **HEAD, **TRAINING).eval()
    ours.projector.load_state_dict(theirs.projector.state_dict())
    ours.classifier.load_state_dict(theirs.classifier.state_dict())
    batch = batch_of(1.3, 0.4, 2.0, 0.9)
    extractor = tf.AutoFeatureExtractor.from_pretrained(folder)
    padded = ours(batch).detach()  # as in training and on GPUs; a CPU scores clip by clip
    with torch.inference_mode():
        found = ours(batch)
        for row, count in enumerate(batch.samples_N.tolist()):
            inputs = extractor(
                batch.wave_NT[row, :count].numpy(), sampling_rate=16000, return_tensors="pt"
            )
            expected = theirs(inputs["input_values"]).logits[0]
            assert (found[row] - expected).abs().max() < 1e-4
            assert (padded[row] - expected).abs().max() < 1e-4
            assert (ours(alone(batch, row))[0] - expected).abs().max() < 1e-4


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_whisper(tmp_path_factory.mktemp("whisper"))


def test_whispers_encoder_reads_the_clip_and_no_silence(whisper: Path) -> None:
    encoder = SpeechEncoder(whisper, "head", spec_augment=False).eval()
    batch = batch_of(1.0, 2.5)
    with torch.inference_mode():
        hidden_LNFH, mask_NF = encoder(batch.wave_NT, batch.samples_N)
        short = tf.WhisperConfig.from_pretrained(whisper)
        short.max_source_positions = 50  # transformers' own encoder, for one second of sound
        theirs = tf.models.whisper.modeling_whisper.WhisperEncoder(short).eval()
        weights = encoder.model.state_dict()
        weights["embed_positions.weight"] = weights["embed_positions.weight"][:50]
        theirs.load_state_dict(weights)
        mel = tf.WhisperFeatureExtractor()(
            batch.wave_NT[0, :16000].numpy(),
            sampling_rate=16000,
            padding="longest",
            return_tensors="pt",
        )["input_features"]
        expected = theirs(mel).last_hidden_state[0]
    assert mask_NF.sum(1).tolist() == [50, 125]
    assert (hidden_LNFH[-1, 0, :50] - expected).abs().max() < 1e-4
    assert hidden_LNFH.shape[0] == 3


def test_whisper_encodes_a_batch_like_its_clips(whisper: Path) -> None:
    encoder = SpeechEncoder(whisper, "all", spec_augment=False).eval()
    batch = batch_of(1.0, 2.5, 0.3)
    together, mask_NF = encoder(batch.wave_NT, batch.samples_N)  # with gradients: one batch
    for row, frames in enumerate(mask_NF.sum(1).tolist()):
        single = alone(batch, row)
        expected, _ = encoder(single.wave_NT, single.samples_N)
        assert (together[:, row, :frames] - expected[:, 0]).abs().max() < 1e-4


@pytest.mark.parametrize("pooling", ["mean", "mean_std", "attentive"])
def test_padding_changes_no_clip(pooling: str, tmp_path: Path) -> None:
    model = AudioClassifier(
        **{**HEAD, "pooling": pooling, "layer_weights": True},
        checkpoint=save_speech(tmp_path),
        **TRAINING,
    ).eval()
    batch = batch_of(0.5, 0.2, 0.3)
    padded = model(batch)  # with gradients, so that the batch is encoded as one
    for row in range(3):
        assert (model(alone(batch, row))[0] - padded[row]).abs().max() < 1e-4


@pytest.mark.parametrize("pooling", ["mean", "mean_std", "attentive"])
def test_short_clips_train_without_nan(pooling: str, tmp_path: Path) -> None:
    """Clips shorter than a frame, than a SpecAugment mask, and than the rest of their batch."""
    folder = save_speech(tmp_path, mask_time_prob=0.5, mask_time_length=10)
    model = AudioClassifier(
        **{**HEAD, "pooling": pooling, "layer_weights": True}, checkpoint=folder, **TRAINING
    )
    for batch in (batch_of(0.0001), batch_of(0.01, 0.02), batch_of(0.0001, 0.1, 1.5)):
        model.zero_grad()
        loss = model.losses(batch).sum()
        loss.backward()
        assert torch.isfinite(loss)
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("train", "moving"), [("all", True), ("transformer", False), ("head", False)]
)
def test_what_is_frozen_stays(train: str, moving: bool, tmp_path: Path) -> None:
    model = AudioClassifier(
        **{**HEAD, "train": train}, checkpoint=save_speech(tmp_path), **TRAINING
    )
    model.losses(batch_of(1.0, 0.5)).sum().backward()
    inner: Any = model.encoder.model
    assert (inner.feature_extractor.conv_layers[0].conv.weight.grad is not None) is moving
    assert (inner.encoder.layers[0].final_layer_norm.weight.grad is not None) is (train != "head")
    assert model.classifier.weight.grad is not None


def test_an_emotion_checkpoint_is_scored_as_it_is(tmp_path: Path) -> None:
    names = {0: "neu", 1: "hap", 2: "ang", 3: "exc"}
    folder = save_speech(
        tmp_path, id2label=names, label2id={name: place for place, name in names.items()}
    )
    label_map = {"neu": "neutral", "hap": "joy", "exc": "joy"}
    model = SpeechCheckpoint("s", folder, label_map, **TRAINING).eval()
    assert not any(parameter.requires_grad for parameter in model.parameters())
    theirs, batch = (
        tf.AutoModelForAudioClassification.from_pretrained(folder).eval(),
        batch_of(0.8, 1.7),
    )
    extractor = tf.AutoFeatureExtractor.from_pretrained(folder)
    with torch.inference_mode():
        for row, count in enumerate(batch.samples_N.tolist()):
            inputs = extractor(
                batch.wave_NT[row, :count].numpy(), sampling_rate=16000, return_tensors="pt"
            )
            chances = torch.softmax(theirs(**inputs).logits[0], 0)
            found = model(batch)[row].exp()
            assert torch.allclose(
                found[:2], torch.stack([chances[0], chances[1] + chances[3]]), atol=1e-4
            )
            assert found[2] < 1e-9
    with pytest.raises(UserError, match="no label neut .did you mean 'neu'"):
        SpeechCheckpoint("s", folder, {"neut": "neutral"}, **TRAINING)
    with pytest.raises(UserError, match="the corpus has no label joyy .did you mean 'joy'"):
        SpeechCheckpoint("s", folder, {"hap": "joyy"}, **TRAINING)


def test_whispers_features_are_the_same_under_bf16(whisper: Path) -> None:
    """Its feature extractor uses torch, and autocast must not change its precision."""
    model = AudioClassifier(checkpoint=whisper, **HEAD, **TRAINING)
    batch = batch_of(0.5, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.losses(batch).sum()
    loss.backward()
    assert torch.isfinite(loss)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        half = model.eval()(batch).float()
    with torch.inference_mode():
        assert (half - model(batch)).abs().max() < 0.05


def probe_batch(features_NSLD: torch.Tensor) -> AudioFeaturesBatch:
    rows = torch.arange(len(features_NSLD))
    return AudioFeaturesBatch(
        features_NSLD, rows % 3, rows, torch.ones(len(rows), dtype=torch.bool), rows % 3
    )


def test_a_probe_scores_the_clip_as_recorded_and_trains_on_all_speeds(
    tmp_path: Path,
) -> None:
    options: Any = {
        "layers": [1, 2],
        "layer_weights": False,
        "dropout": 0.0,
        "class_weights": "none",
        "label_smoothing": 0.0,
        **TRAINING,
    }
    model = AudioProbe("p", save_speech(tmp_path), **options)
    features_NSLD = torch.randn(40, 3, 3, 64)  # 3 speeds, the input and 2 layers of 32
    model.losses(probe_batch(features_NSLD)).sum().backward()
    other = features_NSLD.clone()
    other[:, 1:] = 0
    other[:, :, 0] = 0
    model.eval()
    with torch.inference_mode():
        assert torch.equal(model(probe_batch(features_NSLD)), model(probe_batch(other)))
    model.train()
    torch.manual_seed(0)
    drawn = model(probe_batch(features_NSLD))
    torch.manual_seed(0)
    assert torch.equal(drawn, model(probe_batch(features_NSLD)))
    assert not torch.equal(drawn, model(probe_batch(features_NSLD)))
    # a batch of one, as the last of an epoch may be
    assert torch.isfinite(model.losses(probe_batch(features_NSLD[:1]))).all()
    with pytest.raises(UserError, match="expected one or more of 0 to 2"):
        AudioProbe("p", save_speech(tmp_path), **{**options, "layers": [3]})


def test_mfccs_do_not_depend_on_the_batch() -> None:
    model = MfccClassifier("m", 20, 8, 0.0, "none", 0.0, **TRAINING).eval()
    batch = batch_of(0.001, 0.5, 1.5)
    with torch.inference_mode():
        found = model(batch)
        assert torch.isfinite(found).all()
        for row in range(3):
            assert torch.allclose(model(alone(batch, row))[0], found[row], atol=1e-4)


@pytest.mark.slow
def test_the_command_trains_on_the_mini_corpus(meld_lightning: Command, with_clips: Path) -> None:
    done = meld_lightning("train", "model=mfcc", "optimizer.lr=1e-3", "epochs=4", cwd=with_clips)
    assert done.returncode == 0, done.stderr
    import pandas as pd

    folder = next((with_clips / "runs/audio-mfcc").glob("*/result.json")).parent
    logits = pd.read_parquet(folder / "logits/test.parquet")
    assert len(logits) == 480
    lost = logits[~logits["present"]]
    assert len(lost) == 1  # the clip without sound stays in the denominator, predicted as neutral
    assert (lost[["logit.neutral", "logit.joy", "logit.fear"]].to_numpy().argmax(1) == 0).all()
    accuracy = json.loads((folder / "result.json").read_text())["metrics"]["test"]["accuracy"]
    assert accuracy > 0.6, "the constant baseline has .456"


def test_lengths_stay_on_the_cpu_where_clips_are_cut_by_them() -> None:
    model = MfccClassifier("mfcc", **TRAINING)
    moved = model.transfer_batch_to_device(batch_of(1.0, 0.5), torch.device("meta"), 0)
    fields = moved._asdict()
    assert {name: one.device.type for name, one in fields.items()} == {
        **dict.fromkeys(fields, "meta"),
        "samples_N": "cpu",
    }

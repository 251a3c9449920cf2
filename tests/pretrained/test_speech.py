"""Speech encoders of every supported architecture: transformers' own output for a clip alone,
whatever the batch; others and incomplete checkpoints are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf

from meld_lightning.errors import UserError
from meld_lightning.pretrained.speech import CLIP_BY_CLIP, MASKED, SpeechEncoder
from tests.small import SPEECH, save_speech, save_whisper

SEW: dict[str, Any] = {
    "squeeze_factor": 2,
    "conv_dim": (16,) * 4,
    "conv_kernel": (10, 8, 4, 4),
    "conv_stride": (5, 8, 4, 2),
}
FAMILIES: dict[str, dict[str, Any]] = {
    "data2vec-audio": {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5},
    "wav2vec2-conformer": {},
    "sew": SEW,
    "sew-d": {**SEW, "position_buckets": 16, "max_position_embeddings": 64},
}
SLOW: dict[str, dict[str, Any]] = {
    "wav2vec2": {"feat_extract_norm": "group"},
    "hubert": {"feat_extract_norm": "layer", "conv_bias": True},
    "wavlm": {},
    "unispeech": {},
    "unispeech-sat": {},
}


def save_encoder(folder: Path, model_type: str, **changes: Any) -> Path:
    given = {**SPEECH, **{**FAMILIES, **SLOW}.get(model_type, {}), **changes}
    torch.manual_seed(0)
    model = tf.AutoModel.from_config(tf.AutoConfig.for_model(model_type, **given))
    for layer in model.feature_extractor.conv_layers if given.get("conv_bias") else ():
        torch.nn.init.uniform_(layer.conv.bias)  # transformers starts with zeros
    model.save_pretrained(folder)
    tf.Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)
    return folder


def clips() -> tuple[torch.Tensor, torch.Tensor]:
    """Four clips of noise, padded to the longest, and their lengths."""
    samples_N = torch.tensor([9000, 4001, 16000, 2500])
    wave_NT = torch.randn(4, 16000, generator=torch.Generator().manual_seed(3))
    return wave_NT * (torch.arange(16000) < samples_N[:, None]), samples_N


@pytest.mark.parametrize(
    "model_type", [*FAMILIES, *(pytest.param(one, marks=pytest.mark.slow) for one in SLOW)]
)
def test_a_clip_gets_transformers_own_output_whatever_the_batch(
    model_type: str, tmp_path: Path
) -> None:
    folder = save_encoder(tmp_path, model_type)
    theirs = tf.AutoModel.from_pretrained(folder).eval()
    extractor = tf.AutoFeatureExtractor.from_pretrained(folder)
    encoder = SpeechEncoder(folder, "all", spec_augment=False).eval()
    wave_NT, samples_N = clips()
    batched, mask_NF = encoder(wave_NT, samples_N)  # as in training and on GPUs
    with torch.inference_mode():
        scored, _ = encoder(wave_NT, samples_N, every_layer=False)  # as a CPU scores
        with torch.autocast("cpu", torch.bfloat16):
            bf16, _ = encoder(wave_NT, samples_N, every_layer=False)
        assert batched.shape == (3, 4, mask_NF.shape[1], 32)
        for row, count in enumerate(samples_N.tolist()):
            inputs = extractor(
                wave_NT[row, :count].numpy(), sampling_rate=16000, return_tensors="pt"
            )
            expected = theirs(**inputs, output_hidden_states=True)
            with torch.autocast("cpu", torch.bfloat16):
                last_bf16 = theirs(**inputs).last_hidden_state[0]
            frames = int(mask_NF[row].sum())
            last = expected.last_hidden_state[0]
            assert len(last) == frames
            assert last.abs().max() > 0.1
            assert (batched[-1, row, :frames] - last).abs().max() < 1e-4
            assert (scored[-1, row, :frames] - last).abs().max() < 1e-4
            assert (bf16[-1, row, :frames] - last_bf16).abs().max() < 0.02 * last.abs().max()
            if encoder.squeeze == 1:
                lower = expected.hidden_states[1][0]
                assert (batched[1, row, :frames] - lower).abs().max() < 1e-4


def test_every_supported_family_is_compared() -> None:
    assert {*FAMILIES, *SLOW} == {*MASKED, *CLIP_BY_CLIP}


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_short_clip_beside_a_long_one_is_trained_on(model_type: str, tmp_path: Path) -> None:
    folder = save_encoder(tmp_path, model_type, mask_time_prob=0.5, mask_time_length=4)
    encoder = SpeechEncoder(folder, "transformer", spec_augment=True).train()
    wave_NT, _ = clips()
    hidden_LNFH, mask_NF = encoder(wave_NT, torch.tensor([1, 16000, 700, 2500]))
    (hidden_LNFH[-1] * mask_NF[..., None]).sum().backward()
    trained = [part.grad for part in encoder.parameters() if part.grad is not None]
    assert len(trained) > 10
    assert all(torch.isfinite(part).all() for part in (hidden_LNFH, *trained))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "wav2vec2-bert"}, "is not a supported speech encoder; expected wav2vec2"),
        ({"model_type": "bert"}, "is not a supported speech encoder"),
        ({"add_adapter": True}, "add_adapter=true"),
        ({"num_hidden_layers": 3}, "its weights lack"),
        ({"conv_dim": [24] * 7}, "has shape"),
    ],
)
def test_another_architecture_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = save_encoder(tmp_path, "wav2vec2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(UserError, match=message) as caught:
        SpeechEncoder(folder, "head", spec_augment=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["wav2vec2", "whisper"])
def test_another_or_no_feature_extractor_is_refused(kind: str, tmp_path: Path) -> None:
    folder = save_whisper(tmp_path) if kind == "whisper" else save_speech(tmp_path)
    other = tf.Wav2Vec2FeatureExtractor if kind == "whisper" else tf.WhisperFeatureExtractor
    for write, message in (
        (other().save_pretrained, "its feature extractor is a"),
        (tf.Wav2Vec2FeatureExtractor(sampling_rate=8000).save_pretrained, "=8000; expected 16000"),
        (lambda one: (one / "preprocessor_config.json").unlink(), "no feature extractor in it"),
    ):
        write(folder)
        with pytest.raises(UserError, match=message) as caught:
            SpeechEncoder(folder, "head", spec_augment=False)
        assert "\n" not in str(caught.value)

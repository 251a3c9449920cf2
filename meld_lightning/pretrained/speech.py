"""Pretrained speech encoders whose output for a clip is the same whatever the rest of its batch.

Padding changes the output of encoders that normalise their convolutions over time (wav2vec2-base,
HuBERT-base, WavLM). Their convolutions therefore run on each clip alone, without padding, and the
transformer above them runs with a mask. The transformers of CLIP_BY_CLIP have convolutions of their
own, which no mask keeps out of the padding: they run on each clip alone, too. Whisper's encoder
gets only the frames of the clip instead of 30 s of padded sound. Used by models/audio.py,
data/audio_features.py and check.py.

Axes: N clips, T samples, F frames, H hidden units, L layers (the transformer's input first), M mel
bands.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoModel,
    AutoModelForAudioClassification,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from meld_lightning.errors import UserError
from meld_lightning.pretrained.loading import load_config, load_feature_extractor, load_model
from meld_lightning.pretrained.stem import convolved

# Model types by how they are run; MMS is of type wav2vec2. tests/pretrained/test_speech.py compares
# each with transformers' own output for the clip alone.
MASKED = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat")
CLIP_BY_CLIP = ("data2vec-audio", "wav2vec2-conformer", "sew", "sew-d")
RATE = 16000  # Hz; all supported encoders were trained at it
Trained = Literal["all", "transformer", "head"]


class SpeechEncoder(nn.Module):
    """A speech checkpoint's encoder: waveforms (N, T) and their lengths (N,) -> hidden states
    (L, N, F, H) and mask (N, F).

    train: which weights are trained: all, the transformer's alone, or none ("head": the encoder is
        frozen).
    spec_augment: whether to mask hidden states in training, as the checkpoint's config says.
    """

    def __init__(self, checkpoint: str | Path, train: Trained, spec_augment: bool) -> None:
        super().__init__()
        config = speech_config(checkpoint)
        self.whisper = config.model_type == "whisper"
        self.clip_by_clip = config.model_type in CLIP_BY_CLIP
        self.extractor = _extractor(checkpoint, self.whisper)
        # skipped layers would have no gradient, which DDP refuses
        config.layerdrop = config.encoder_layerdrop = 0.0
        config.apply_spec_augment = spec_augment
        if self.whisper:
            head = (r"^projector\.", r"^classifier\.", r"^layer_weights$")
            model = load_model(AutoModelForAudioClassification, checkpoint, config, head).encoder
        else:
            model = load_model(AutoModel, checkpoint, config)
        self.model, self.layers = model, _layers(model)
        self.squeeze = int(getattr(config, "squeeze_factor", 1))  # frames to one of SEW's
        self.hidden_size, self.depth = int(config.hidden_size), len(self.layers) + 1
        self._freeze(train, spec_augment)

    def _freeze(self, train: Trained, spec_augment: bool) -> None:
        model: Any = self.model
        self.frozen = train == "head"
        if self.frozen:
            model.requires_grad_(False)
        elif train == "transformer":
            for part in (model.conv1, model.conv2) if self.whisper else (model.feature_extractor,):
                part.requires_grad_(False)
        if self.whisper:
            model.embed_positions.requires_grad_(False)  # sinusoids, fixed in Whisper too
        elif hasattr(model, "masked_spec_embed") and not (
            spec_augment and model.config.mask_time_prob
        ):
            model.masked_spec_embed.requires_grad_(False)

    def train(self, mode: bool = True) -> "SpeechEncoder":
        """A frozen encoder stays in eval mode, without dropout. Batch norms of CLIP_BY_CLIP keep
        the checkpoint's statistics: those of a single clip would not do."""
        super().train(mode and not self.frozen)
        for part in self.modules() if self.clip_by_clip else ():
            if isinstance(part, nn.BatchNorm1d):
                part.eval()
        return self

    def forward(
        self, wave_NT: torch.Tensor, samples_N: torch.Tensor, every_layer: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states of all layers, or with every_layer=False of the last one alone (1, N, F,
        H), which needs a fraction of the memory."""
        clips = [wave_T[:count] for wave_T, count in zip(wave_NT, samples_N.tolist(), strict=True)]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            stems = [
                self._whisper_stem(clip) if self.whisper else self._wave_stem(clip)
                for clip in clips
            ]
            counts = [len(stem) for stem in stems]
            frames_N = torch.tensor(counts).to(wave_NT.device, non_blocking=True)
            mask_NF = torch.arange(max(counts), device=wave_NT.device) < frames_N[:, None]
            if not torch.is_grad_enabled() and wave_NT.device.type == "cpu":
                return self._scored_one_by_one(stems, every_layer), mask_NF
            if self.clip_by_clip:
                return self._one_by_one(stems, every_layer), mask_NF
            stem_NFC = pad_sequence(stems, batch_first=True)
            return self._transformed(stem_NFC, mask_NF, every_layer), mask_NF

    def _scored_one_by_one(self, stems: list[torch.Tensor], every_layer: bool) -> torch.Tensor:
        """Like `_transformed`, one clip at a time, which is faster on a CPU: the processor's cache
        can hold the activations of a clip but not of a batch."""
        # autocast keeps cast weights, but not in inference mode
        enabled = torch.is_autocast_enabled("cpu")
        keeping = torch.autocast("cpu", enabled=enabled, cache_enabled=True)
        with torch.inference_mode(False), torch.no_grad(), keeping, parametrize.cached():
            return self._one_by_one(stems, every_layer)

    def _one_by_one(self, stems: list[torch.Tensor], every_layer: bool) -> torch.Tensor:
        """Like `_transformed`, one clip at a time, so that there is no padding."""
        hidden = [
            self._transformed(stem_FC[None], torch.ones_like(stem_FC[None, :, 0]) > 0, every_layer)
            for stem_FC in stems
        ]
        longest = max(map(len, stems))
        return torch.cat(
            [functional.pad(one, (0, 0, 0, longest - one.shape[2])) for one in hidden], dim=1
        )

    def _wave_stem(self, clip_T: torch.Tensor) -> torch.Tensor:
        """The convolutions on one clip (F, C)."""
        model: Any = self.model
        if self.extractor.do_normalize:  # as Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm
            clip_T = (clip_T - clip_T.mean()) / torch.sqrt(clip_T.var(correction=0) + 1e-7)
        padded_T = functional.pad(clip_T, (0, max(0, self._reach - len(clip_T))))
        return convolved(model.feature_extractor, padded_T[None])[0].T

    @property
    def _reach(self) -> int:
        """Number of samples that one frame of the transformer needs; a shorter clip is padded with
        silence."""
        reach = self.squeeze
        for kernel, stride in zip(
            self.model.config.conv_kernel[::-1], self.model.config.conv_stride[::-1], strict=True
        ):
            reach = (reach - 1) * stride + kernel
        return int(reach)

    def _whisper_stem(self, clip_T: torch.Tensor) -> torch.Tensor:
        """Convolutions and positions on one clip (F, H), which is cut after Whisper's last position
        (30 s), and padded with silence to two frames (40 ms)."""
        model: Any = self.model
        frame = 2 * self.extractor.hop_length  # samples
        clip_T = clip_T[: model.config.max_source_positions * frame]
        clip_T = functional.pad(clip_T, (0, max(0, 2 * frame - len(clip_T))))
        mel_1MF = extracted(self.extractor, clip_T, padding="longest")["input_features"].to(
            clip_T.device
        )
        hidden_1CF = functional.gelu(model.conv2(functional.gelu(model.conv1(mel_1MF))))
        return hidden_1CF[0].T + model.embed_positions.weight[: hidden_1CF.shape[-1]]

    def _transformed(
        self, stem_NFC: torch.Tensor, mask_NF: torch.Tensor, every_layer: bool
    ) -> torch.Tensor:
        """The output of every layer (L, N, F, H), or of the last one (1, N, F, H); the last is what
        the checkpoint's own model returns."""
        model: Any = self.model
        seen: list[torch.Tensor] = []
        hooks = []
        if every_layer:
            hooks = [
                self.layers[0].register_forward_pre_hook(
                    lambda _, args, kwargs: seen.append(args[0]), with_kwargs=True
                )
            ]
            hooks += [
                layer.register_forward_hook(
                    lambda _, args, out: seen.append(out[0] if isinstance(out, tuple) else out)
                )
                for layer in self.layers[:-1]
            ]
        try:
            if self.whisper:
                bias = torch.zeros(mask_NF.shape, device=stem_NFC.device).masked_fill(
                    ~mask_NF, -1e9
                )[:, None, None]
                hidden_NFH = functional.dropout(stem_NFC, model.dropout, self.training)
                for layer in self.layers:
                    hidden_NFH = layer(
                        hidden_NFH, bias.expand(-1, 1, mask_NF.shape[1], -1).to(hidden_NFH.dtype)
                    )
                last_NFH = model.layer_norm(hidden_NFH)
            else:
                hidden_NFH = self._masked(self._projected(stem_NFC), mask_NF)
                hides = None if self.clip_by_clip else mask_NF
                last_NFH = model.encoder(hidden_NFH, attention_mask=hides).last_hidden_state
        finally:
            for hook in hooks:
                hook.remove()
        if self.squeeze > 1:  # SEW's layers have fewer frames; each is repeated
            place_F = torch.arange(last_NFH.shape[1], device=last_NFH.device) // self.squeeze
            seen = [one[:, place_F.clamp(max=one.shape[1] - 1)] for one in seen]
        return torch.stack([*seen, last_NFH])

    def _projected(self, stem_NFC: torch.Tensor) -> torch.Tensor:
        """The transformer's input (N, F, H)."""
        model: Any = self.model
        if model.config.model_type in ("sew", "sew-d"):
            hidden_NFC = model.layer_norm(stem_NFC)
            if model.project_features:
                hidden_NFC = model.feature_projection(hidden_NFC)
            return model.feature_dropout(hidden_NFC)
        projected: Any = model.feature_projection(stem_NFC)
        return projected[0] if isinstance(projected, tuple) else projected

    def _masked(self, hidden_NFH: torch.Tensor, mask_NF: torch.Tensor) -> torch.Tensor:
        """Applies SpecAugment in training, as the checkpoint's config says; batches shorter than a
        mask are not masked."""
        model: Any = self.model
        if not self.training:
            return hidden_NFH
        if hidden_NFH.shape[1] < model.config.mask_time_length:
            unused = getattr(model, "masked_spec_embed", None)
            if unused is None or not unused.requires_grad or not torch.distributed.is_initialized():
                return hidden_NFH
            return hidden_NFH + 0 * unused  # DDP needs a gradient for it
        return model._mask_hidden_states(hidden_NFH, attention_mask=mask_NF.long())


def speech_config(checkpoint: str | Path) -> Any:
    """The checkpoint's config; UserError unless it is one of the supported speech encoders."""
    config = load_config(checkpoint)
    if config.model_type not in (*MASKED, *CLIP_BY_CLIP, "whisper"):
        raise UserError(
            f"checkpoint folder {checkpoint}: model type {config.model_type} is not a supported"
            f" speech encoder; expected {', '.join(MASKED + CLIP_BY_CLIP)} or whisper"
        )
    if getattr(config, "add_adapter", False):
        raise UserError(
            f"checkpoint folder {checkpoint}: config.json says add_adapter=true, and transformers"
            " classifies clips without such adapters alone; use a checkpoint without one"
        )
    return config


def speech_extractor(checkpoint: str | Path) -> Any:
    """The checkpoint's feature extractor; UserError if it is for another sampling rate."""
    extractor = load_feature_extractor(checkpoint)
    if (rate := getattr(extractor, "sampling_rate", None)) != RATE:
        raise UserError(
            f"checkpoint folder {checkpoint}: its feature extractor has sampling_rate={rate};"
            f" expected {RATE} Hz"
        )
    return extractor


def _extractor(checkpoint: str | Path, whisper: bool) -> Any:
    extractor = speech_extractor(checkpoint)
    expected = WhisperFeatureExtractor if whisper else Wav2Vec2FeatureExtractor
    if not isinstance(extractor, expected):
        raise UserError(
            f"checkpoint folder {checkpoint}: its feature extractor is a"
            f" {type(extractor).__name__}; expected a {expected.__name__}"
        )
    return extractor


def _layers(model: Any) -> nn.ModuleList:
    """The layers of the transformer, wherever the architecture keeps them."""
    inner = getattr(model, "encoder", model)  # Whisper's model is the encoder itself
    inner = getattr(inner, "encoder", inner)  # SEW-D's transformer lies one level deeper
    return inner.layers if hasattr(inner, "layers") else inner.layer


def extracted(extractor: Any, clip_T: torch.Tensor, **options: Any) -> Any:
    """The feature extractor's output for one clip, in fp32 even under autocast: it computes on the
    CPU with torch."""
    with torch.autocast("cpu", enabled=False):
        return extractor(
            clip_T.float().cpu().numpy(), sampling_rate=RATE, return_tensors="pt", **options
        )


def pooled(
    hidden_NFH: torch.Tensor, mask_NF: torch.Tensor, deviation: bool = False
) -> torch.Tensor:
    """The mean over each clip's own frames (N, H); with deviation=True followed by the standard
    deviation (N, 2H)."""
    mask_NF1 = mask_NF.unsqueeze(-1).to(hidden_NFH.dtype)
    count_N1 = mask_NF1.sum(1)
    mean_NH = (hidden_NFH * mask_NF1).sum(1) / count_N1
    if not deviation:
        return mean_NH
    spread_NH = (((hidden_NFH - mean_NH[:, None]) ** 2) * mask_NF1).sum(1) / count_N1
    return torch.cat([mean_NH, torch.sqrt(spread_NH + 1e-7)], dim=1)

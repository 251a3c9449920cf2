"""Audio for a frozen encoder: its layers' mean and deviation over each clip, computed once and
cached.

Reads the media cache and a speech checkpoint; writes cache/audio_features/ (see arrays.py). Used by
training.

Axes: N utterances of a batch (of the table, in the cache), S speeds (as recorded, then the others),
L layers, D = 2H mean and deviation of the hidden units.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import transformers
from tqdm import tqdm

from meld_lightning.data.audio import sound
from meld_lightning.data.datamodule import CorpusDataModule, Sampling, Shared, Sources
from meld_lightning.errors import UserError, is_out_of_memory
from meld_lightning.pretrained.speech import RATE, SpeechEncoder, pooled
from meld_lightning.storage.arrays import Arrays, cached_arrays

WRITER_VERSION = 1  # raise it when the features that this file writes change


class AudioFeaturesBatch(NamedTuple):
    """Pooled layers of a frozen encoder, of the clip as it is and at the other speeds."""

    features_NSLD: torch.Tensor
    labels_N: torch.Tensor
    rows_N: torch.Tensor
    owned_N: torch.Tensor
    labels_G: torch.Tensor


class AudioFeaturesDataModule(CorpusDataModule):
    """Batches of pooled features.

    Args:
        max_seconds: a longer clip is cut.
        speeds: of the copies that training also draws from, such as 0.9 and 1.1 (Ko et al., Audio
            augmentation for speech recognition, Interspeech 2015, section 2.1: resampled, so that
            the pitch moves too).
        batch_size, sampling, and the rest of `loading`: see CorpusDataModule.
    """

    modality: ClassVar[str] = "audio"
    decoded: ClassVar[str | None] = "audio"

    def __init__(
        self,
        batch_size: int,
        max_seconds: float,
        speeds: list,
        sampling: Sampling,
        *,
        sources: Sources,
        **loading: Any,
    ) -> None:
        media = sound(sources)
        if not all(
            isinstance(speed, (int, float)) and 0.5 <= speed <= 2 and speed != 1 for speed in speeds
        ):
            raise UserError(
                f"data.speeds={speeds}: expected speeds from 0.5 to 2 other than 1, which is always"
                " there"
            )
        speeds = [float(speed) for speed in speeds]
        settings = {
            "media": media.digest("audio"),
            "checkpoint": sources.checkpoint_digest,
            "precision": sources.precision,
            "max_seconds": max_seconds,
            "speeds": speeds,
            "device": sources.device.type,
            "writer": WRITER_VERSION,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
        arrays = cached_arrays(
            sources.cache / "audio_features",
            settings,
            lambda: _features(sources, int(max_seconds * RATE), speeds),
        )
        self.features_NSLD = arrays["features"]
        super().__init__(
            sources=sources,
            lengths_N=np.ones(len(media.samples), dtype=np.int64),
            present_N=media.samples > 0,
            batch_size=batch_size,
            sampling=sampling,
            **loading,
        )

    def batch(self, rows: np.ndarray, shared: Shared) -> AudioFeaturesBatch:
        return AudioFeaturesBatch(torch.from_numpy(self.features_NSLD[rows]), **shared._asdict())


def _features(sources: Sources, longest: int, speeds: Sequence[float]) -> Arrays:
    """Clip by clip, which a CPU does fastest and which no batch can change; rows without sound stay
    zero."""
    media = sound(sources)
    assert sources.checkpoint is not None
    encoder = (
        SpeechEncoder(sources.checkpoint, "head", spec_augment=False).to(sources.device).eval()
    )
    shape = (len(media.samples), 1 + len(speeds), encoder.depth, 2 * encoder.hidden_size)
    features_NSLD = np.zeros(shape, dtype=np.float32)
    bf16 = torch.autocast(
        sources.device.type, torch.bfloat16, enabled=sources.precision == "bf16-mixed"
    )
    with torch.inference_mode(), bf16:
        for row in tqdm(
            np.flatnonzero(media.samples > 0), unit="clip", disable=None, mininterval=1
        ):
            clip_T = torch.from_numpy(media.waveform(int(row))[:longest].copy())
            for place, speed in enumerate((1.0, *speeds)):
                wave_1T = _at_speed(clip_T, speed)[None].to(sources.device)
                hidden_L1FH, mask_1F = _encoded(encoder, wave_1T)
                layers = [pooled(one.float(), mask_1F, deviation=True) for one in hidden_L1FH]
                features_NSLD[row, place] = torch.cat(layers).cpu()
    return {"features": features_NSLD}


def _encoded(encoder: SpeechEncoder, wave_1T: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (L, 1, F, H) and mask (1, F) of one clip; there is nothing smaller to try where
    it does not fit."""
    try:
        return encoder(wave_1T, torch.tensor([wave_1T.shape[1]]))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        seconds = wave_1T.shape[1] / RATE
        raise UserError(
            f"out of memory with a clip of {seconds:.1f} s by itself; lower data.max_seconds"
        ) from error


def _at_speed(clip_T: torch.Tensor, speed: float) -> torch.Tensor:
    """The clip played faster or slower, pitch and all."""
    from torchaudio.functional import resample

    ratio = Fraction(speed).limit_denominator(100)
    return resample(clip_T, ratio.numerator, ratio.denominator) if ratio != 1 else clip_T

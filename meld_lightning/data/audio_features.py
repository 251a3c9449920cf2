"""Audio features of a frozen encoder: mean and deviation of each layer over a clip, computed once
and cached.

Reads the media cache and a speech checkpoint; writes cache/audio_features/ (see
storage/arrays.py). Used by training.

Axes: N utterances of a batch (of the table, in the cache), S speeds (as recorded, then the others),
L layers, D = 2H mean and deviation of the hidden units, T samples, F frames, H hidden units, G
utterances of the global batch.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
import torch
import torchaudio
from pydantic import Field
from tqdm import tqdm

from meld_lightning.data.audio import checked_media
from meld_lightning.data.datamodule import CorpusDataModule, Shared, warn_of_missing
from meld_lightning.data.sources import Sources
from meld_lightning.errors import UserError, is_out_of_memory
from meld_lightning.pretrained.speech import RATE, SpeechEncoder, pooled
from meld_lightning.storage.arrays import Arrays, cached_arrays

Speed = Annotated[float, Field(ge=0.5, le=2)]
WRITER_VERSION = 2  # to be raised if this file computes other features from the same clips


class AudioFeaturesBatch(NamedTuple):
    """Pooled layers of a frozen encoder, of the clip as recorded and at the other speeds."""

    features_NSLD: torch.Tensor
    labels_N: torch.Tensor
    rows_N: torch.Tensor
    owned_N: torch.Tensor
    labels_G: torch.Tensor


class AudioFeaturesDataModule(CorpusDataModule):
    """Batches of pooled features.

    Args:
        max_seconds: longer clips are cut.
        speeds: training also draws from copies played at these speeds, such as [0.9, 1.1]. They
            are resampled, so the pitch changes too (Ko et al., Audio augmentation for speech
            recognition, Interspeech 2015, section 2.1).
        loading: see CorpusDataModule.
    """

    modality: ClassVar[str] = "audio"
    decoded: ClassVar[str | None] = "audio"

    def __init__(
        self,
        max_seconds: Annotated[float, Field(ge=0.1)] = 15,
        speeds: Sequence[Speed] = (),
        *,
        sources: Sources,
        **loading: Any,
    ) -> None:
        media = checked_media(sources)
        if 1 in speeds:
            raise UserError(f"data.speeds={speeds}: leave out 1, which is always included")
        speeds = [float(speed) for speed in speeds]
        settings = {
            **sources.encoder_settings(),
            "media": media.digest("audio"),
            "max_seconds": max_seconds,
            "speeds": speeds,
            "torchaudio": torchaudio.__version__,
            "writer": WRITER_VERSION,
        }
        arrays = cached_arrays(
            sources.cache / "audio_features",
            settings,
            lambda: _features(sources, int(max_seconds * RATE), speeds),
        )
        self.features_NSLD = arrays["features"]
        # one that is not would make every clip of its batch not finite
        finite_N = np.array([np.isfinite(clip).all() for clip in self.features_NSLD])
        warn_of_missing(sources.table["key"][~finite_N].tolist(), "speech features")
        super().__init__(
            sources=sources,
            lengths_N=np.ones(len(media.samples), dtype=np.int64),
            present_N=(media.samples > 0) & finite_N,
            **loading,
        )

    def batch(self, rows: np.ndarray, shared: Shared) -> AudioFeaturesBatch:
        return AudioFeaturesBatch(torch.from_numpy(self.features_NSLD[rows]), **shared._asdict())


def _features(sources: Sources, max_samples: int, speeds: Sequence[float]) -> Arrays:
    """Features of every row of the corpus; rows without sound stay zero.

    Clips are encoded one by one: this is fastest on a CPU, and no other clip of a batch can change
    the result.
    """
    media = checked_media(sources)
    checkpoint = sources.checkpoint
    assert checkpoint is not None
    encoder = sources.encoder(
        "speech", lambda: SpeechEncoder(checkpoint, "head", spec_augment=False)
    )
    shape = (len(media.samples), 1 + len(speeds), encoder.depth, 2 * encoder.hidden_size)
    features_NSLD = np.zeros(shape, dtype=np.float32)
    with sources.inference():
        for row in tqdm(
            np.flatnonzero(media.samples > 0), unit="clip", disable=None, mininterval=1
        ):
            clip_T = torch.from_numpy(media.waveform(int(row))[:max_samples].copy())
            for place, speed in enumerate((1.0, *speeds)):
                wave_1T = _at_speed(clip_T, speed)[None].to(sources.device)
                hidden_L1FH, mask_1F = _encoded(encoder, wave_1T)
                layers = [
                    pooled(hidden_1FH.float(), mask_1F, deviation=True)
                    for hidden_1FH in hidden_L1FH
                ]
                features_NSLD[row, place] = torch.cat(layers).cpu()
    return {"features": features_NSLD}


def _encoded(encoder: SpeechEncoder, wave_1T: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (L, 1, F, H) and mask (1, F) of one clip.

    Raises UserError if it does not fit into memory, as there is no smaller batch to try.
    """
    try:
        return encoder(wave_1T, torch.tensor([wave_1T.shape[1]]))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        seconds = wave_1T.shape[1] / RATE
        raise UserError(
            f"out of memory with a single clip of {seconds:.1f} s; lower data.max_seconds"
        ) from error


def _at_speed(clip_T: torch.Tensor, speed: float) -> torch.Tensor:
    """The clip played faster or slower; its pitch changes accordingly."""
    ratio = Fraction(speed).limit_denominator(100)
    if ratio == 1:
        return clip_T
    return torchaudio.functional.resample(clip_T, ratio.numerator, ratio.denominator)

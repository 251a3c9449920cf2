"""Features that are not finite make an utterance lack the modality, and no other with it."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from meld_lightning.data.audio_features import AudioFeaturesDataModule
from meld_lightning.data.video import VideoDataModule
from tests.small import LOADING, NoiseMedia, save_speech, small_sources

FRAMES, SAMPLES = [2, 3, 0, 2, 1, 1], [900, 800, 0, 2000, 700, 750]


class Spoilt(torch.nn.Module):
    """The mean of each frame's colours; not finite for a frame that is black."""

    def __init__(self, checkpoint: Any, size: int) -> None:
        super().__init__()

    def forward(self, frames_FSS3: np.ndarray) -> torch.Tensor:
        mean_F3 = torch.from_numpy(frames_FSS3).float().mean((1, 2))
        return mean_F3 / mean_F3


def test_a_clip_with_such_an_embedding_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    media = NoiseMedia(FRAMES, SAMPLES)
    media.frames(1)[2] = 0  # the last frame of the second clip
    media.frames(3)[0] = 0  # the first one after a clip without any
    with caplog.at_level(logging.WARNING, "meld_lightning"):
        found = VideoDataModule(
            encoder=partial(Spoilt), sources=small_sources(tmp_path, media=media), **LOADING
        )
    assert found.present_N.tolist() == [True, False, False, False, True, True]
    assert caplog.messages == [
        "frame embeddings are not finite and count as missing for these utterances (2):"
        " train/1, val/3"
    ]
    assert [batch.rows_N.tolist() for batch in found.train_dataloader()] == [[0]]


def test_a_clip_with_such_features_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    media = NoiseMedia(FRAMES, SAMPLES)
    media.waveform(3)[5] = np.nan
    sources = small_sources(tmp_path, media=media, checkpoint=save_speech(tmp_path / "speech"))
    with caplog.at_level(logging.WARNING, "meld_lightning"):
        found = AudioFeaturesDataModule(sources=sources, **LOADING)
    assert found.present_N.tolist() == [True, True, False, False, True, True]
    assert caplog.messages[-1:] == [
        "speech features are not finite and count as missing for these utterances (1): val/3"
    ]

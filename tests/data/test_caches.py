"""The caches of features and tokens: asked again they are read, and everything that changes their
bits gives another one."""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio

from meld_lightning.data.audio_features import AudioFeaturesDataModule
from meld_lightning.data.text import TextDataModule
from meld_lightning.data.video import VideoDataModule
from meld_lightning.errors import UserError
from meld_lightning.pretrained.clip import Clip
from tests.repeats import few
from tests.small import LOADING, NoiseMedia, save_bert, save_clip, save_speech, small_sources

ENCODER = """
import torch

class Brightness(torch.nn.Module):
    def __init__(self, checkpoint, size, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, frames_FSS3):
        return self.scale * torch.from_numpy(frames_FSS3).float().mean((1, 2)) / 255
"""
Make = Callable[..., Any]

# what changes the bits of any frozen encoder's features: fields of Sources, or attributes to patch
COMPUTATION: dict[str, dict[str, Any]] = {
    "precision": {"precision": "bf16-mixed"},
    "threads": {"threads": 2},
    "checkpoint": {"checkpoint_digest": "another"},
    "clips": {"media": NoiseMedia([2, 3, 1, 2, 1, 2], [900, 800, 700, 2000, 700, 751])},
}
VERSIONS = {
    "torch": "meld_lightning.data.sources.torch.__version__",
    "transformers": "meld_lightning.data.sources.transformers.__version__",
    "processor": "torch.backends.cpu.get_cpu_capability",
}


def cached(folder: Path) -> set[Path]:
    return set(folder.glob("cache/*/*/manifest.json"))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    save_speech(folder / "speech")
    save_clip(folder / "clip")
    save_bert(folder / "bert", ["hello", "ann", ":"])
    return folder


@pytest.fixture
def audio(checkpoints: Path, tmp_path: Path) -> Make:
    def make(
        max_seconds: float = 1.0, speeds: tuple[float, ...] = (0.9,), **changes: Any
    ) -> AudioFeaturesDataModule:
        sources = small_sources(
            tmp_path / "cache", **{"checkpoint": checkpoints / "speech", **changes}
        )
        return AudioFeaturesDataModule(
            batch_size=2,
            max_seconds=max_seconds,
            speeds=list(speeds),
            sampling="shuffled",
            sources=sources,
            **LOADING,
        )

    return make


@pytest.fixture
def video(checkpoints: Path, tmp_path: Path) -> Make:
    def make(encoder: Any = Clip, **changes: Any) -> VideoDataModule:
        sources = small_sources(
            tmp_path / "cache", **{"checkpoint": checkpoints / "clip", **changes}
        )
        return VideoDataModule(
            encoder=partial(encoder), batch_size=2, sampling="shuffled", sources=sources, **LOADING
        )

    return make


@pytest.fixture
def text(checkpoints: Path, tmp_path: Path) -> Make:
    def make(max_tokens: int = 16, context: Any = "none", **changes: Any) -> TextDataModule:
        sources = small_sources(
            tmp_path / "cache", **{"checkpoint": checkpoints / "bert", **changes}
        )
        return TextDataModule(
            batch_size=2,
            max_tokens=max_tokens,
            context=context,
            sampling="shuffled",
            sources=sources,
            **LOADING,
        )

    return make


def assert_other_cache(folder: Path, make: Make, **changes: Any) -> None:
    """`make` reads its cache when it is asked again, and makes another one under `changes`."""
    make()
    before = cached(folder)
    make()
    assert cached(folder) == before
    make(**changes)
    assert len(cached(folder)) == len(before) + 1


@pytest.mark.parametrize("change", COMPUTATION)
@pytest.mark.parametrize("modality", few(["video", "audio"], 1))
def test_features_are_computed_again_if_their_computation_changes(
    modality: str, change: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    assert_other_cache(tmp_path, request.getfixturevalue(modality), **COMPUTATION[change])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("modality", few(["video", "audio"], 1))
def test_features_are_computed_again_under_other_versions(
    modality: str,
    version: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = request.getfixturevalue(modality)
    make()
    monkeypatch.setattr(VERSIONS[version], (lambda: "ENIAC") if version == "processor" else "0.0.0")
    make()
    assert len(cached(tmp_path)) == 2


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_a_corpus_without_a_modality_is_refused(
    modality: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    make, silent = request.getfixturevalue(modality), NoiseMedia([0] * 6, [0] * 6)
    with pytest.raises(UserError, match=f"no utterance has {modality} that can be read; "):
        make(media=silent)
    assert cached(tmp_path) == set()


@pytest.mark.parametrize("change", [{"speeds": (0.9, 1.1)}, {"speeds": ()}, {"max_seconds": 0.1}])
def test_audio_features_depend_on_speeds_and_length(
    change: dict[str, Any], audio: Make, tmp_path: Path
) -> None:
    assert_other_cache(tmp_path, audio, **change)


def test_audio_features_depend_on_the_resampler(
    audio: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio()
    monkeypatch.setattr(torchaudio, "__version__", "0.0.0")
    audio()
    assert len(cached(tmp_path)) == 2


def test_the_threads_of_the_key_are_the_threads_that_compute(
    video: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = torch.get_num_threads(), []
    images = Clip.images

    def watched(self: Clip, frames_FSS3: np.ndarray) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return images(self, frames_FSS3)

    monkeypatch.setattr(Clip, "images", watched)
    video(threads=2)
    video(threads=3)
    assert seen == [2, 3]
    assert torch.get_num_threads() == before


@pytest.fixture
def brightness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Any]:
    """brightness(module, source) -> the encoder class of a user's own module."""
    monkeypatch.syspath_prepend(tmp_path)

    def imported(module: str, source: str) -> Any:
        (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.delitem(sys.modules, module, raising=False)
        return importlib.import_module(module).Brightness

    return imported


def test_any_frame_encoder_embeds_the_frames(
    video: Make, brightness: Callable[[str, str], Any]
) -> None:
    found = video(brightness("own_encoder", ENCODER), checkpoint=None, checkpoint_digest="")
    batch = next(iter(found.scoring_dataloader("train")))
    assert batch.embeds_NFD.shape == (2, 3, 3)
    row = int(batch.rows_N[0])
    expected = NoiseMedia([2, 3, 1, 2, 1, 1], [0] * 6).frames(row).mean((1, 2)) / 255
    np.testing.assert_allclose(batch.embeds_NFD[0, : len(expected)], expected, atol=1e-5)


def test_frames_are_embedded_again_by_another_encoder(
    video: Make, brightness: Callable[[str, str], Any], tmp_path: Path
) -> None:
    own = brightness("own_encoder", ENCODER)
    edited = brightness("edited_encoder", ENCODER.replace("/ 255", "/ 256"))
    for number, encoder in enumerate([Clip, own, partial(own, scale=2.0), edited], start=1):
        video(encoder)
        video(encoder)
        assert len(cached(tmp_path)) == number


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": 12},
        {"context": "past"},
        {"corpus_digest": "another"},
        {"checkpoint_digest": "another"},
    ],
)
def test_tokens_depend_on_text_tokenizer_and_context(
    change: dict[str, Any], text: Make, tmp_path: Path
) -> None:
    assert_other_cache(tmp_path, text, **change)

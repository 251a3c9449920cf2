"""Transcribes clips that come without a text, with faster-whisper (extra `asr`).

Reads a Whisper model in CTranslate2's format, from a folder or, by name, from the Hugging Face hub,
and the sound of the clips with PyAV. Used by the commands `predict` and `demo`.
"""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from meld_lightning.corpus.texts import has_text
from meld_lightning.errors import UserError, first_line, near_miss
from meld_lightning.inference.items.table import as_items
from meld_lightning.media.errors import MediaError
from meld_lightning.media.parts import Part
from meld_lightning.media.waveform import iter_waveform

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

log = logging.getLogger(__name__)

RATE = 16000  # samples per second that Whisper reads
FILES = ("config.json", "model.bin", "tokenizer.json")  # of a model; vocabularies differ in name


class Transcriber:
    """A Whisper model that transcribes waveforms.

    Args:
        model: a folder, or one of faster-whisper's names such as `small.en`.
        language: a code such as `en`; None: detected in each clip.
        device: `cpu`, `cuda`, `mps` or `auto`; CTranslate2 knows no mps and takes it for `auto`.

    Raises UserError if faster-whisper is not installed, or if there is no such model.
    """

    def __init__(
        self, model: str | Path, language: str | None = None, device: str = "auto"
    ) -> None:
        self.name, self.language = str(model), language
        self._model = _load(self.name, "auto" if device == "mps" else device)
        known = self._model.supported_languages
        if language is not None and language not in known:
            raise UserError(
                f"asr_language={language}: the model {self.name} does not know"
                f" it{near_miss(language, known)}; expected one of {', '.join(sorted(known)[:12])}"
                + (" ..." if len(known) > 12 else "")
            )

    def __call__(self, waveform: np.ndarray) -> str | None:
        """The words in a waveform, float32 (T,) at 16 kHz, mono; None if there are none.

        Beam search without sampling: the same sound gives the same words.
        """
        if not len(waveform) or not np.abs(waveform).max():
            return None
        segments, _ = self._model.transcribe(
            np.asarray(waveform, np.float32),
            language=self.language,
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
        )
        text = " ".join(segment.text.strip() for segment in segments).strip()
        return text if has_text(text) else None


def with_transcripts(items: pd.DataFrame, transcriber: Transcriber) -> pd.DataFrame:
    """The items, with transcripts in place of missing texts if their clip or audio has speech.

    A clip whose sound cannot be decoded gets no text. Whisper sometimes transcribes noise as
    words; transcripts are in the answers' column `text`.
    """
    rows = items.to_dict("records")
    for row in rows:
        source = row["audio"] or row["clip"]
        if row["text"] is None and source is not None:
            row["text"] = _words(row, source, transcriber)
    return as_items(rows)


def _words(row: dict[str, Any], source: str, transcriber: Transcriber) -> str | None:
    part = None if math.isnan(row["start"]) else Part(row["start"], row["end"])
    try:
        pieces = list(iter_waveform(source, RATE, "center", keep_cut=True, part=part))
    except MediaError as error:
        log.warning("%s: not transcribed (%s)", row["id"], error.reason)
        return None
    return transcriber(np.concatenate(pieces)) if pieces else None


def _load(name: str, device: str) -> WhisperModel:
    try:
        import ctranslate2
        import faster_whisper
    except ImportError:
        raise UserError(
            f"asr={name}: faster-whisper is not installed; run: pip install 'meld-lightning[asr]'"
        ) from None
    folder = Path(os.path.expanduser(name))  # noqa: PTH111 -- Path's raises on a name like ~a
    if folder.is_dir():
        missing = [one for one in FILES if not (folder / one).is_file()]
        if missing:
            raise UserError(
                f"asr={name}: has no {missing[0]}, expected the folder of a Whisper model in"
                " CTranslate2's format"
            )
    elif os.sep in name and not _is_on_hub(name):
        raise UserError(f"asr={name}: no such folder; give the folder or the name of a model")
    elif os.sep not in name and name not in faster_whisper.available_models():
        known = faster_whisper.available_models()
        raise UserError(
            f"asr={name}: no such model{near_miss(name, known)}; give a folder, or one of"
            f" {', '.join(known)}"
        )
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # it logs each clip's length
    if device == "auto":
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    compute = "int8" if device == "cpu" else "default"
    try:
        return faster_whisper.WhisperModel(
            str(folder) if folder.is_dir() else name, device=device, compute_type=compute
        )
    except Exception as error:  # the hub's, CTranslate2's or the tokenizer's own
        raise UserError(
            f"asr={name}: cannot be loaded ({first_line(error)[:200]}); give the folder of"
            " a model that was downloaded before"
        ) from error


def _is_on_hub(name: str) -> bool:
    """Whether `name` looks like a hub name, owner/model, rather than a path."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~"))

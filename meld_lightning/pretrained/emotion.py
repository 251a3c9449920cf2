"""An existing speech emotion checkpoint: its feature extractor, and its model with its own head.

Reads a checkpoint folder. Used by models/audio.py and check.py.
"""

from pathlib import Path
from typing import Any

from transformers import AutoModelForAudioClassification

from meld_lightning.pretrained.loading import load_config, load_model
from meld_lightning.pretrained.speech import speech_extractor


def load_emotion(checkpoint: str | Path) -> tuple[Any, Any]:
    """Feature extractor and model, which AutoModelForAudioClassification loads; UserError if the
    checkpoint has no head."""
    config = load_config(checkpoint)
    model = load_model(AutoModelForAudioClassification, checkpoint, config)
    return speech_extractor(checkpoint), model

"""Answers as a predictor gives them, for tests of what shows and writes them."""

from typing import Any

import numpy as np
import pandas as pd

LABELS = ("neutral", "joy", "anger")
MODALITIES = ("text", "audio", "video")


def answer(name: str, *probabilities: float, **others: Any) -> dict[str, Any]:
    """One row of answers: by text and audio, with video missing, unless `others` say otherwise."""
    p = np.array(probabilities)
    row = {
        "id": name,
        "emotion": LABELS[int(p.argmax())],
        "confidence": float(p.max()),
        "entropy": float(-(p * np.log2(p)).sum()),
        "abstained": False,
        **{f"p.{label}": one for label, one in zip(LABELS, p, strict=True)},
        "share.text": 0.75,
        "share.audio": 0.25,
        "share.video": np.nan,
        "used": ("text", "audio"),
        "missing": {"video": "no video track"},
        "start": np.nan,
        "end": np.nan,
    }
    return row | others


def answers() -> pd.DataFrame:
    whole = {"used": MODALITIES, "missing": {}, "share.audio": 0.2, "share.video": 0.05}
    return pd.DataFrame(
        [
            answer("my clip (2).mov", 0.125, 0.625, 0.25),
            answer("日本語の録画.mp4", 0.5, 0.25, 0.25, abstained=True, **whole),
        ]
    )

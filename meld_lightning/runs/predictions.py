"""predictions.csv and predictions.parquet: what a run predicted for every utterance.

Writes into run folders. Used by training and fusion.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from meld_lightning.storage.atomic import atomic_write
from meld_lightning.storage.parquet import write_parquet


def predictions(table: pd.DataFrame, logits: np.ndarray, labels: tuple[str, ...]) -> pd.DataFrame:
    """The paper's data frame (Section B): key, split, speaker, text, true and predicted label,
    confidence, and `present`.

    table: rows of the labelled corpus with a column `present`; False where every modality of the
    run is missing and the logits (N, C) are the label shares of train, or of val for a fusion.
    """
    probabilities = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
    frame = table[["key", "split", "speaker", "text"]].copy()
    frame["true_label"] = [labels[index] for index in table["label"]]
    frame["predicted_label"] = [labels[index] for index in logits.argmax(1)]
    frame["confidence"] = probabilities.max(1)
    frame["present"] = table["present"].to_numpy()
    return frame


def write_predictions(folder: Path, frame: pd.DataFrame) -> None:
    """Writes predictions.parquet and predictions.csv atomically."""
    write_parquet(folder / "predictions.parquet", frame)
    with atomic_write(folder / "predictions.csv") as fresh:
        frame.to_csv(fresh, index=False)

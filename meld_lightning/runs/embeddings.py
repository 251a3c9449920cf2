"""Pooled embeddings of a run: what the last layer of its model reads of each utterance.

One Parquet file per split in the run's folder, with a row per utterance: key and embedding, a list
of D float32 numbers, all 0 where the modality is missing. Rows are joined by key, never by order.
Written by training/embeddings.py, read by the fusions that use embeddings.

Axes: N utterances, D dimensions.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from meld_lightning.errors import UserError, first_line
from meld_lightning.storage.parquet import read_parquet, write_parquet

FOLDER = "embeddings"  # in a run's folder
COLUMNS = ["key", "embedding"]


def embeddings_file(folder: Path, split: str) -> Path:
    """Where the run in `folder` has the embeddings of a split."""
    return folder / FOLDER / f"{split}.parquet"


def write_embeddings(path: Path, keys: Sequence[str], embeddings_ND: np.ndarray) -> None:
    """Writes the embeddings (N, D) of the utterances `keys` atomically; UserError, and no file,
    where one is not finite."""
    finite_N = np.isfinite(embeddings_ND).all(1)
    if not finite_N.all():
        odd = np.asarray(keys)[~finite_N][0]
        raise UserError(f"{path}: the embedding of {odd} is not finite; fuse without this run")
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame({"key": list(keys), "embedding": list(embeddings_ND.astype(np.float32))})
    write_parquet(path, frame, "zstd")


def read_embeddings(path: Path, keys: Sequence[str]) -> np.ndarray:
    """The embeddings (N, D), float32, of the utterances `keys`, in their order.

    Raises UserError where the file is missing, damaged, or lacks an utterance.
    """
    again = f"delete {path.parent} and fuse again"
    try:
        frame = read_parquet(path)
        if list(frame.columns) != COLUMNS:
            raise ValueError(f"columns {list(frame.columns)}, expected {COLUMNS}")
        rows = frame.set_index("key")["embedding"].loc[list(keys)]
        embeddings_ND = np.stack([np.asarray(one, np.float32) for one in rows])
        if embeddings_ND.shape != (len(keys), embeddings_ND.shape[-1]):
            raise ValueError("an utterance occurs twice")
        if not np.isfinite(embeddings_ND).all():
            raise ValueError("an embedding is not finite")
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: missing; a fusion that reads embeddings computes them from the run's weights:"
            " name the folder that `train` wrote"
        ) from error
    except KeyError as error:
        raise UserError(f"{path}: it lacks utterances of the run's logits; {again}") from error
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); {again}") from error
    return embeddings_ND

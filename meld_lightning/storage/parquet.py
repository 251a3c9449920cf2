"""Writes tables as Parquet.

Writes through a Python file, whose OSError gives the reason of a failure; pyarrow's own need not.
Used wherever a cache or a run keeps a table.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from meld_lightning.storage.atomic import atomic_write

if TYPE_CHECKING:
    import pandas as pd


def save_parquet(frame: "pd.DataFrame", path: Path, compression: Any = "snappy") -> None:
    """Writes a table without its index to `path`, for files inside an `atomic_folder`."""
    with path.open("wb") as file:
        frame.to_parquet(file, compression=compression, index=False)


def write_parquet(path: Path, frame: "pd.DataFrame", compression: Any = "snappy") -> None:
    """Writes a table without its index atomically."""
    with atomic_write(path) as fresh:
        save_parquet(frame, fresh, compression)

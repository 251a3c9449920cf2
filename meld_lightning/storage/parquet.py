"""Writes tables as Parquet, and reads Parquet files that may be damaged, or come from anybody.

Writes through a Python file, whose OSError gives the reason of a failure; pyarrow's own need not.
Used wherever a cache or a run keeps a table, and where one is read whose damage is reported.
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


def read_parquet(path: Path) -> "pd.DataFrame":
    """The table in a Parquet file; OSError if it cannot be read, ValueError if it is no such file.

    On damage pyarrow and pandas raise whatever their code runs into, such as KeyError for metadata
    of pandas that lacks a key; texts that are not UTF-8 they pass on until one is printed.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        frame = pd.read_parquet(path)
        for name in frame.select_dtypes("str"):
            pa.array(frame[name]).validate(full=True)
        return frame
    except (OSError, ValueError):
        raise
    except Exception as error:
        raise ValueError(f"damaged: {type(error).__name__} {error}") from error

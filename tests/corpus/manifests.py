"""Manifests for tests: files, and rows of unequal speakers and dialogues."""

from pathlib import Path
from typing import Any

import pandas as pd


def manifest(
    tmp_path: Path, rows: list[dict[str, Any]] | pd.DataFrame, name: str = "mine.csv"
) -> Path:
    path = tmp_path / name
    table = pd.DataFrame(rows)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)
    return path


def speech(count: int = 60, speakers: int = 7) -> list[dict[str, Any]]:
    """Rows of unequal speakers and dialogues: speaker s has more rows the smaller s is."""
    return [
        {
            "id": f"u{number:03d}",
            "text": f"text {number}",
            "emotion": ("calm", "joy", "anger")[number % 3],
            "speaker": f"s{min(number % speakers, (number * 5) % speakers)}",
            "dialogue": f"d{number // 4}",
        }
        for number in range(count)
    ]

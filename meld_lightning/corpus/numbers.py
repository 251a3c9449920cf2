"""Reads columns of tables that come from anybody as numbers.

Reads and writes no file. Used for votes and for imported predictions.
"""

from typing import Any

import numpy as np
import pandas as pd


def numbers_of(column: pd.Series) -> pd.Series:
    """The column as numbers; NaN for what is none, infinity for what no float can hold."""
    try:
        return pd.to_numeric(column, errors="coerce")
    except OverflowError:  # a whole number of more than 308 digits
        return column.map(_number).astype(np.float64)


def shown(value: Any) -> str:
    """A table's cell as a message quotes it, on one line."""
    plain = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return " ".join(repr(plain).split())


def _number(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf
    except (TypeError, ValueError):
        return np.nan

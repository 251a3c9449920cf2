"""Reads JSON files that may be damaged, or come from anybody.

Reads the file, writes nothing. Used wherever a stored JSON file is read whose damage is reported.
"""

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """The value in a JSON file; OSError if it cannot be read, ValueError if it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("brackets are nested too deeply") from error

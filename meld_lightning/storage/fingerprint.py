"""Digests: what a file or a JSON-able value is, whatever it is called. Used wherever something is
named by its content."""

import hashlib
import json
from pathlib import Path
from typing import Any


def digest_of(value: Any, digits: int = 12) -> str:
    """The first hex digits of the sha256 of a JSON-able value; the order of a mapping's keys does
    not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:digits]


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Fingerprints of files and digests of values: everything that is named by its content.

Reads the files it is given; writes nothing. Used by every room that caches or identifies something;
no other file of the package computes a hash.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Fingerprint:
    """What a file was when it was read: size in bytes, modification time in ns, sha256 (hex)."""

    size: int
    mtime_ns: int
    sha256: str

    @staticmethod
    def of(path: Path) -> "Fingerprint":
        """The fingerprint of the file `path` as it is now."""
        stat = path.stat()
        return Fingerprint(stat.st_size, stat.st_mtime_ns, file_digest(path))

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "Fingerprint":
        """Reads back what `as_json` gave; other keys of `stored` are ignored."""
        return Fingerprint(stored["size"], stored["mtime_ns"], stored["sha256"])

    def as_json(self) -> dict[str, Any]:
        """{"size", "mtime_ns", "sha256"}."""
        return asdict(self)

    def matches(self, path: Path) -> bool:
        """Whether `path` is still the same file.

        Equal size and modification time are taken as unchanged. If only the time differs, as after
        a copy, the content decides.
        """
        if not path.is_file():
            return False
        stat = path.stat()
        if stat.st_size != self.size:
            return False
        return stat.st_mtime_ns == self.mtime_ns or file_digest(path) == self.sha256


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_digest(parts: Iterable[bytes]) -> str:
    """sha256 (hex) of the parts put end to end."""
    content = hashlib.sha256()
    for part in parts:
        content.update(part)
    return content.hexdigest()


def digest_of(value: Any, digits: int = 12) -> str:
    """The first hex digits (64 is all) of the sha256 of a JSON-able value.

    The order of a mapping's keys does not matter.
    """
    return bytes_digest([json.dumps(value, sort_keys=True).encode()])[:digits]

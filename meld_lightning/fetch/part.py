"""An incomplete download: NAME.part holds its bytes, NAME.part.json their address and version.

Written by download.py. A part outlives the process that was killed while it wrote it; it is
continued only if the server names the same version of the file.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from meld_lightning.storage.atomic import put_in_place, write_json


@dataclass(frozen=True)
class Version:
    """One version of a file on a server.

    validator: the server's ETag or date of change, with which it recognises the version; None if
        it gives neither.
    size: of the whole file in bytes; None if the server does not say.
    """

    url: str
    validator: str | None
    size: int | None

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str], size: int | None) -> "Version":
        """The version that a response's headers name. A weak ETag is ignored, because it may stand
        for several versions (RFC 9110, 13.1.5)."""
        etag = headers.get("etag")
        if etag is not None and etag.startswith("W/"):
            etag = None
        return cls(url, etag or headers.get("last-modified"), size)


class Part:
    """The part of a download that is on disk."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._record = target.with_name(f"{target.name}.part.json")

    @property
    def version(self) -> Version | None:
        """The version that the part belongs to; None without a part or a readable record."""
        try:
            known = json.loads(self._record.read_text(encoding="utf-8"))
            return Version(known["url"], known["validator"], known["size"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def resumable(self, url: str) -> int:
        """The byte to continue from at `url`; 0 if the part is of another file, or if nothing
        identifies its version."""
        version = self.version
        if version is None or version.url != url or version.validator is None:
            return 0
        if version.size is not None and self.size > version.size:
            return 0
        return self.size

    def begin(self, version: Version) -> None:
        """Starts the part of another file, or of another version, from nothing."""
        self.discard()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._record, asdict(version))

    def finish(self, target: Path) -> None:
        """Gives the part, now complete, its name."""
        put_in_place(self.path, target)
        self._record.unlink(missing_ok=True)

    def discard(self) -> None:
        """Removes the part."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

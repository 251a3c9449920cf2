"""Finds the files that rows name, whatever form of Unicode their names have on disk, and says why
one cannot be read.

Reads folders and the state of files; used by the readers.
"""

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from meld_lightning.corpus.look_alikes import clean_name


@dataclass(frozen=True)
class MissingFile:
    """A file that a row names but that cannot be read.

    key: of the row. column: "clip" or "audio". named: the file, as the corpus names it. reason: in
    words.
    """

    key: str
    column: str
    named: str
    reason: str


def unreadable(path: Path) -> str | None:
    """Why `path` cannot be read as a file; None if it can."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a loop of links"
        if os.path.islink(path):  # noqa: PTH114 -- Path.is_symlink raises on what it may not see
            return f"broken link to {path.readlink()}"
        absent = isinstance(error, FileNotFoundError | NotADirectoryError)
        return "file not found" if absent else (error.strerror or str(error)).lower()
    except ValueError:  # a name with a NUL character
        return "not a possible file name"
    if not stat.S_ISREG(mode):
        return "a folder, not a file" if stat.S_ISDIR(mode) else "not a regular file"
    return None if os.access(path, os.R_OK) else "no permission to read it"


@dataclass
class Finder:
    """Finds files by name; each folder is listed once."""

    _listed: dict[Path, dict[str, list[str]]] = field(default_factory=dict)

    def find(self, path: Path) -> tuple[Path | None, str]:
        """The file `path`, or the one whose name looks the same, and an empty reason; or None and
        the reason."""
        reason = unreadable(path)
        if reason is None:
            return path, ""
        if reason != "file not found":
            return None, reason
        other, doubt = self._look_alike(path)
        if other is None:
            return None, doubt or reason
        reason = unreadable(other)
        return (other, "") if reason is None else (None, reason)

    def _look_alike(self, path: Path) -> tuple[Path | None, str]:
        """The path below the first folder that exists whose every part looks like that of
        `path`."""
        found = Path(path.anchor) if path.anchor else Path()
        for part in path.parts[1 if path.anchor else 0 :]:
            if part == ".." or os.path.lexists(found / part):
                found /= part
                continue
            names = self._names(found).get(clean_name(part), [])
            if len(names) != 1:
                return None, "several files look like it" if names else ""
            found /= names[0]
        return found, ""

    def _names(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            try:
                for name in os.listdir(folder):  # noqa: PTH208 -- names, not paths
                    names.setdefault(clean_name(name), []).append(name)
            except OSError:  # not a folder, or one that must not be listed: nothing is found in it
                names = {}
            self._listed[folder] = names
        return self._listed[folder]

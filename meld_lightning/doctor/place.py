"""The file systems that hold cache and runs: locks, files that are replaced, and clock.

Writes a few bytes into a folder of its own there and removes it.
"""

import tempfile
import time
from pathlib import Path

from meld_lightning.doctor.finding import Finding
from meld_lightning.errors import UserError
from meld_lightning.storage.atomic import atomic_folder, atomic_write
from meld_lightning.storage.once import locked_if_free

SKEW_S = 5.0  # between this machine's clock and the file server's
EARLIEST = 1_735_689_600  # 2025: before it, no certificate of a server would be valid


def examine_places(folders: dict[str, Path]) -> list[Finding]:
    """One finding for each of the folders, by what it is called, and one about the clock."""
    found = [_examine(name, folder) for name, folder in folders.items()]
    return [*found, _clock(next(iter(folders.values())))]


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(one for one in (folder, *folder.parents) if one.is_dir())


def _examine(name: str, folder: Path) -> Finding:
    subject = f"file system of {name}"
    place = existing(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as probe:
            wrong = _locks(Path(probe)) or _renames(Path(probe))
    except UserError as error:  # a full or failing disk
        wrong = str(error)
    except OSError as error:
        wrong = f"{error.strerror or error}: choose another folder with paths.*"
    if wrong:
        return Finding("stop", subject, f"{place}: {wrong}")
    good = "locks hold, and replaced files and folders are seen at once"
    return Finding("ok", subject, f"{place}: {good}")


def _locks(probe: Path) -> str:
    """What is wrong with locks; empty if nothing."""
    with locked_if_free(probe / "lock") as first, locked_if_free(probe / "lock") as second:
        if first and not second:
            return ""
    return "locks do not hold: mount it with locks (Lustre: -o flock), or choose other paths.*"


def _renames(probe: Path) -> str:
    """What is wrong with replacing files and folders; empty if nothing."""
    for content in ("old", "new"):
        with atomic_write(probe / "file") as fresh:
            fresh.write_text(content)
        with atomic_folder(probe / "folder") as inside:
            (inside / content).touch()
    left = sorted(path.name for path in (probe / "folder").iterdir())
    if (probe / "file").read_text() == "new" and left == ["new"]:
        return ""
    return "renamed files are not seen at once; choose other paths.*"


def _clock(folder: Path) -> Finding:
    now = time.time()
    if now < EARLIEST:
        return Finding("stop", "clock", f"it is {time.ctime(now)} here: set the clock")
    try:
        with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=existing(folder)) as file:
            skew = Path(file.name).stat().st_mtime - now
    except OSError as error:
        return Finding("stop", "clock", f"{folder} cannot be written to: {error.strerror}")
    if abs(skew) > SKEW_S:
        return Finding(
            "note",
            "clock",
            f"the file server's differs by {skew:.0f} s: times in lists of runs are off; set both"
            " with NTP",
        )
    return Finding("ok", "clock", f"{time.strftime('%Y-%m-%d %H:%M')}, as the file system's")

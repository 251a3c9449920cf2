"""What `fetch` is asked for, and what of it is refused before anything is downloaded.

Looks into the folder that is to hold MELD; writes nothing. Used by meld.py.
"""

import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from meld_lightning.errors import UserError
from meld_lightning.fetch.count import Missing
from meld_lightning.fetch.part import Part
from meld_lightning.fetch.record import downloaded_from
from meld_lightning.fetch.sources import Published
from meld_lightning.fetch.unpack import Limits

logger = logging.getLogger(__name__)

UNPACKED = "MELD.Raw"
ADDRESS = re.compile(r"https?://[^/\s]+/\S")
GB = 1e9
UNKNOWN_ARCHIVE = 11_000_000_000  # bytes: MELD's archive, where an address does not say


@dataclass(frozen=True)
class Request:
    """What to get.

    to: the folder that is to hold MELD.
    clips: whether to get the clips, too; the CSV files alone are a corpus of text.
    archive: MELD's archive at hand, which is then not downloaded.
    url: another address of the archive.
    accepted: whether the terms have been accepted on the command line.
    keep_archive: whether a downloaded archive stays after it was unpacked.
    """

    to: Path
    clips: bool = True
    archive: Path | None = None
    url: str | None = None
    accepted: bool = False
    keep_archive: bool = False


def check_request(request: Request) -> None:
    """UserError for what contradicts itself or names no file."""
    if request.archive is not None and not request.archive.is_file():
        reason = "is a folder" if request.archive.is_dir() else "no such file"
        raise UserError(f"archive={request.archive}: {reason}; give MELD's .tar.gz")
    if request.archive is not None and request.url is not None:
        raise UserError("archive= and url= exclude each other: leave one of them out")
    if not request.clips and (request.archive or request.url):
        raise UserError("clips=false needs no archive: leave out archive= and url=")
    if request.url is not None and not ADDRESS.match(request.url):
        raise UserError(
            f"url={request.url}: expected an address such as https://HOST/MELD.Raw.tar.gz; a file"
            " on this machine is given as archive="
        )
    if request.to.exists() and not request.to.is_dir():
        raise UserError(f"to={request.to}: not a folder; give the one that is to hold MELD")


def check_place(request: Request, published: Published, missing: Missing) -> None:
    """UserError where files of the user's are in the way of the archive or of its folder."""
    folder, target = request.to / UNPACKED, request.to / published.archive.name
    if folder.exists():
        raise UserError(
            f"{folder}: incomplete: {', '.join(missing.clips)}; it is not replaced: move it away,"
            " or give another folder with to="
        )
    if request.url is not None and target.exists() and downloaded_from(target) is None:
        raise UserError(
            f"{target}: there already, and not replaced: leave out url= to unpack it, or move it"
            " away"
        )


def disk_needed(request: Request, published: Published) -> tuple[int, int]:
    """Bytes for the archive that is still to be downloaded, and for what it unpacks to."""
    target = request.to / published.archive.name
    if at_hand := archive_at_hand(request, target):
        return 0, Limits.of(at_hand.stat().st_size).size
    size = (None if request.url else published.archive.size) or UNKNOWN_ARCHIVE
    return max(size - Part(target).size, 0), Limits.of(size).size


def check_disk(request: Request, published: Published) -> None:
    """States the disk that the clips need; UserError where there is less."""
    download, unpacked = disk_needed(request, published)
    free = shutil.disk_usage(request.to).free
    stated = (
        f"{(download + unpacked) / GB:.1f} GB of disk are needed in {request.to}"
        f" ({download / GB:.1f} to download, up to {unpacked / GB:.1f} unpacked)"
    )
    if free < download + unpacked:
        raise UserError(
            f"{stated}, {free / GB:.1f} GB are free; free some space, or give another folder with"
            " to="
        )
    logger.info("%s; %.1f GB are free", stated, free / GB)


def archive_at_hand(request: Request, target: Path) -> Path | None:
    """The archive that need not be downloaded: the one named, or one that lies in the folder."""
    if request.archive is not None:
        return request.archive
    is_wanted = request.url is None or request.url == downloaded_from(target)
    return target if is_wanted and target.is_file() else None

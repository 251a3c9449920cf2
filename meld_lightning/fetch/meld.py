"""Gets MELD into one folder: asks once, downloads what is missing, unpacks it, counts it.

Writes below the folder: MELD.Raw/ (the unpacked archive), the CSV files that the archive lacks, and
fetched.json, the record of where everything came from. Used by the command `fetch`. What is there
already stays; a process that was killed is continued by the next one.
"""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meld_lightning.corpus.readers.meld_files import CSV_NAMES
from meld_lightning.errors import UserError
from meld_lightning.fetch.count import count, lack
from meld_lightning.fetch.download import Patience, download_from_any
from meld_lightning.fetch.part import Part
from meld_lightning.fetch.sources import TERMS, Contents, Known, Published
from meld_lightning.fetch.unpack import GZIP, DamagedArchiveError, Limits, unpack
from meld_lightning.storage.atomic import remove_leftovers, write_json
from meld_lightning.storage.fingerprint import file_digest
from meld_lightning.storage.once import locked

logger = logging.getLogger(__name__)

UNPACKED = "MELD.Raw"
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


def fetch(
    request: Request,
    published: Published,
    ask: Callable[[str], bool],
    patience: Patience | None = None,
) -> Contents:
    """Gets what of MELD is missing in `request.to`; returns what is there then.

    ask: shows the terms and returns whether they are accepted; not called where they have been
        accepted before, or where nothing is missing.

    Raises UserError, one line, where it cannot be got, or is incomplete.
    """
    _check(request)
    lock = request.to / ".fetch.lock"
    with locked(lock, lambda: logger.info("waiting for another process that fetches MELD")):
        remove_leftovers(request.to, UNPACKED)
        missing = lack(count(request.to), published.contents)
        wants_clips = bool(request.clips and missing.clips) and not _was_unpacked(request)
        if not missing.records and not (request.clips and missing.clips):
            logger.info("%s: MELD is all there", request.to)
            return count(request.to)
        if wants_clips:
            _check_disk(request, published)
        _accept(request, ask)
        record = _record(request.to)
        if wants_clips:
            record["archive"] = _get_clips(request, published, patience)
        if csvs := _missing_csvs(request.to, published):
            record["csv"] = _get_csvs(request.to, csvs, patience)
        write_json(_record_path(request.to), record)
        return _complete(request, published.contents)


def _complete(request: Request, contents: Contents) -> Contents:
    """What is there; UserError where that is not what was asked for."""
    found = count(request.to)
    missing = lack(found, contents)
    lacking = (*missing.records, *(missing.clips if request.clips else ()))
    if lacking:
        raise UserError(
            f"{request.to}: incomplete: {', '.join(lacking)}; use it as it is (the corpus report"
            " lists the rows without a clip), or give another copy with archive= or url="
        )
    return found


def _was_unpacked(request: Request) -> bool:
    """Whether the archive was unpacked before: getting the same one again would add nothing."""
    again = request.archive is None and request.url is None
    return again and "archive" in _record(request.to) and (request.to / UNPACKED).is_dir()


def _check(request: Request) -> None:
    if request.archive is not None and not request.archive.is_file():
        raise UserError(f"archive={request.archive}: no such file; give MELD's .tar.gz")
    if request.archive is not None and request.url is not None:
        raise UserError("archive= and url= exclude each other: leave one of them out")
    if not request.clips and (request.archive or request.url):
        raise UserError("clips=false needs no archive: leave out archive= and url=")
    if request.to.exists() and not request.to.is_dir():
        raise UserError(f"to={request.to}: not a folder; give the one that is to hold MELD")


def disk_needed(request: Request, published: Published) -> tuple[int, int]:
    """Bytes for the archive that is still to be downloaded, and for what it unpacks to."""
    target = request.to / published.archive.name
    if at_hand := _at_hand(request, target):
        return 0, Limits.of(at_hand.stat().st_size).size
    size = (None if request.url else published.archive.size) or UNKNOWN_ARCHIVE
    return max(size - Part(target).size, 0), Limits.of(size).size


def _check_disk(request: Request, published: Published) -> None:
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


def _accept(request: Request, ask: Callable[[str], bool]) -> None:
    """Asks for the terms unless they were accepted before."""
    record = _record(request.to)
    if record.get("terms") == TERMS:
        return
    if not request.accepted and not ask(TERMS):
        raise UserError(f"{TERMS} To accept these terms, run the command again with accept=true")
    write_json(_record_path(request.to), {**record, "terms": TERMS})


def _get_clips(request: Request, published: Published, patience: Patience | None) -> dict[str, Any]:
    """Unpacks the archive at hand, or the first one that can be downloaded whole; returns its
    record."""
    target = request.to / published.archive.name
    if at_hand := _at_hand(request, target):
        try:
            return _unpack(at_hand, request.to, published.archive, str(at_hand))
        except DamagedArchiveError as error:
            raise UserError(f"{error}; remove it and run the command again") from error
    known = Known(target.name, (request.url,)) if request.url else published.archive
    left = list(known.urls)
    while True:
        url = download_from_any(
            tuple(left),
            target,
            instead="give another address with url=, or a file with archive=",
            size=known.size,
            begins_with=GZIP,
            patience=patience,
        )
        left.remove(url)
        try:
            record = _unpack(target, request.to, known, url)
        except DamagedArchiveError as error:
            target.unlink()
            if not left:
                raise UserError(f"{url}: {error}; give another address with url=") from error
            logger.warning("%s: %s; trying the next address", url, error)
        else:
            if not request.keep_archive:
                target.unlink()
            return record


def _at_hand(request: Request, target: Path) -> Path | None:
    """The archive that need not be downloaded: the one named, or one that lies in the folder."""
    if request.archive is None and request.url is None and target.is_file():
        return target
    return request.archive


def _unpack(archive: Path, folder: Path, known: Known, source: str) -> dict[str, Any]:
    logger.info("unpacking %s into %s ...", archive, folder / UNPACKED)
    unpack(archive, folder / UNPACKED)
    digest = file_digest(archive)
    _compare(archive, digest, known)
    return {"from": source, "size": archive.stat().st_size, "sha256": digest}


def _compare(archive: Path, digest: str, known: Known) -> None:
    """Shows the digest beside the one that others have seen."""
    if known.sha256 is None:
        logger.info("%s: sha256 %s; there is none to compare it with", archive.name, digest)
    elif digest == known.sha256:
        logger.info("%s: sha256 %s, as others have recorded it", archive.name, digest)
    else:
        logger.warning(
            "%s: sha256 %s, where others recorded %s: another edition, or not MELD's own",
            archive.name,
            digest,
            known.sha256,
        )


def _missing_csvs(folder: Path, published: Published) -> list[Known]:
    """The CSV files that are not in the folder, or lack rows."""
    found, complete = count(folder).records, published.contents.records
    names = {CSV_NAMES[split] for split in complete if found[split] < complete[split]}
    return [known for known in published.csvs if known.name in names]


def _get_csvs(
    folder: Path, csvs: Sequence[Known], patience: Patience | None
) -> list[dict[str, Any]]:
    """Downloads the CSV files; returns their records. UserError for one with another digest."""
    records = []
    for known in csvs:
        target = folder / known.name
        by_hand = f"put a file of that name into {folder} by hand"
        url = download_from_any(
            known.urls, target, instead=by_hand, size=known.size, patience=patience
        )
        digest = file_digest(target)
        if known.sha256 is not None and digest != known.sha256:
            target.unlink()
            raise UserError(
                f"{url}: sha256 {digest}, expected {known.sha256}; it was removed: run the command"
                " again, or download the file by hand"
            )
        records.append({"from": url, "size": known.size, "sha256": digest})
    return records


def _record_path(folder: Path) -> Path:
    return folder / "fetched.json"


def _record(folder: Path) -> dict[str, Any]:
    """What fetched.json holds; nothing where it is missing or damaged."""
    try:
        found = json.loads(_record_path(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

"""Gets MELD into one folder: asks once, downloads what is missing, unpacks it, counts it.

Writes below the folder: MELD.Raw/ (the unpacked archive), the CSV files that the archive lacks, and
fetched.json, the record of where everything came from. Used by the command `fetch`. It replaces
nothing that is there already; a process that was killed is continued by the next one.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from meld_lightning.corpus.readers.meld_files import CSV_NAMES, files_below
from meld_lightning.errors import UserError
from meld_lightning.fetch.count import count, csv_files, missing_from
from meld_lightning.fetch.download import Patience, download_from_any
from meld_lightning.fetch.record import downloaded_from, note, read_record
from meld_lightning.fetch.request import (
    UNPACKED,
    Request,
    archive_at_hand,
    check_disk,
    check_place,
    check_request,
)
from meld_lightning.fetch.sources import TERMS, Contents, Known, Published
from meld_lightning.fetch.unpack import (
    GZIP,
    DamagedArchiveError,
    RefusedArchiveError,
    unpack,
)
from meld_lightning.storage.atomic import leftovers, remove_leftovers
from meld_lightning.storage.fingerprint import file_digest
from meld_lightning.storage.once import locked

logger = logging.getLogger(__name__)


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
    check_request(request)
    found = count(request.to)
    if not (_missing(request, found, published) or _has_remains(request, published)):
        logger.info("%s: nothing that was asked for is missing", request.to)
        return found
    lock = request.to / ".fetch.lock"
    with locked(lock, lambda: logger.info("waiting for another process that fetches MELD")):
        remove_leftovers(request.to, UNPACKED)
        found = count(request.to)
        if _missing(request, found, published):
            _get_missing(request, found, published, ask, patience)
        if _has_download_left(request, published):
            _put_away(request, published)
        found = count(request.to)
    if missing := _missing(request, found, published):
        raise UserError(
            f"{request.to}: incomplete: {', '.join(missing)}; use it as it is (the corpus report"
            f" lists the rows without a clip), or move {UNPACKED} away and give another copy with"
            " archive= or url="
        )
    return found


def _missing(request: Request, found: Contents, published: Published) -> tuple[str, ...]:
    """What was asked for and is not there, in words."""
    missing = missing_from(found, published.contents)
    return (*missing.records, *(missing.clips if request.clips else ()))


def _get_missing(
    request: Request,
    found: Contents,
    published: Published,
    ask: Callable[[str], bool],
    patience: Patience | None,
) -> None:
    """Gets the clips and the CSV files that are missing. found: what is there."""
    missing = missing_from(found, published.contents)
    wants_clips = bool(request.clips and missing.clips) and not _was_unpacked(request)
    _missing_csvs(request.to, found, published)  # refused before anything is downloaded
    if wants_clips:
        check_place(request, published, missing)
        check_disk(request, published)
    _accept(request, ask)
    if wants_clips:
        note(request.to, archive=_get_clips(request, published, patience))
    if csvs := _missing_csvs(request.to, count(request.to), published):
        note(request.to, csv=_get_csvs(request.to, csvs, patience))


def _was_unpacked(request: Request) -> bool:
    """Whether the archive was unpacked before: getting the same one again would add nothing."""
    again = request.archive is None and request.url is None
    return again and "archive" in read_record(request.to) and (request.to / UNPACKED).is_dir()


def _has_download_left(request: Request, published: Published) -> bool:
    """Whether an archive that fetch downloaded lies in the folder. A call for the CSV files alone
    leaves it to a later one for the clips."""
    return request.clips and downloaded_from(request.to / published.archive.name) is not None


def _has_remains(request: Request, published: Published) -> bool:
    """Whether a call that was killed has left files: they would count as clips, or take space."""
    return bool(leftovers(request.to, UNPACKED)) or _has_download_left(request, published)


def _put_away(request: Request, published: Published) -> None:
    """Removes the downloaded archive, or leaves it to the user with keep_archive=true."""
    if not request.keep_archive:
        (request.to / published.archive.name).unlink()
    note(request.to, download=None)


def _accept(request: Request, ask: Callable[[str], bool]) -> None:
    """Asks for the terms unless they were accepted before."""
    if read_record(request.to).get("terms") == TERMS:
        return
    if not request.accepted and not ask(TERMS):
        raise UserError(f"{TERMS} To accept these terms, run the command again with accept=true")
    note(request.to, terms=TERMS)


def _get_clips(request: Request, published: Published, patience: Patience | None) -> dict[str, Any]:
    """Unpacks the archive at hand, or the first one that can be downloaded whole; returns its
    record. A download that cannot be unpacked is removed."""
    target = request.to / published.archive.name
    at_hand = archive_at_hand(request, target)
    url = downloaded_from(target) if at_hand == target else None
    if at_hand is not None and url is None:
        return _unpack_users_own(at_hand, request, published)
    known = Known(target.name, (request.url,)) if request.url else published.archive
    left = list(known.urls)
    while True:
        if url is None:
            url = download_from_any(
                tuple(left),
                target,
                instead="give another address with url=, or a file with archive=",
                size=known.size,
                begins_with=GZIP,
                patience=patience,
            )
            note(request.to, download={"from": url, "size": target.stat().st_size})
        left = [one for one in left if one != url]
        try:
            return _unpack(target, request.to, known, url)
        except RefusedArchiveError:
            target.unlink()
            raise
        except DamagedArchiveError as error:
            target.unlink()
            if not left:
                raise UserError(f"{url}: {error}; give another address with url=") from error
            logger.warning("%s: %s; trying the next address", url, error)
            url = None


def _unpack_users_own(archive: Path, request: Request, published: Published) -> dict[str, Any]:
    """Unpacks an archive that fetch has not downloaded; it stays, whatever it is."""
    try:
        return _unpack(archive, request.to, published.archive, str(archive))
    except DamagedArchiveError as error:
        raise UserError(f"{error}; get it again, or give another one with archive=") from error
    except RefusedArchiveError as error:
        if request.archive is not None:
            raise
        raise UserError(f"{error}; remove it, or give another one with archive=") from error


def _unpack(archive: Path, folder: Path, known: Known, source: str) -> dict[str, Any]:
    logger.info("unpacking %s into %s ...", archive, folder / UNPACKED)
    digest = file_digest(archive)  # before: it takes long, and what is unpacked is recorded at once
    unpack(archive, folder / UNPACKED)
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


def _missing_csvs(folder: Path, found: Contents, published: Published) -> list[Known]:
    """The CSV files that are not in the folder; UserError for one that is there and lacks rows."""
    complete, there = published.contents.records, csv_files(files_below(folder)[0])
    short = [split for split in complete if found.records[split] < complete[split]]
    for split in short:
        if split in there:
            raise UserError(
                f"{there[split]}: {found.records[split]} of {complete[split]} rows can be read; it"
                " is not replaced: move it away and run the command again"
            )
    names = {CSV_NAMES[split] for split in short}
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

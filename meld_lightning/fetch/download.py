"""Downloads one file over HTTP, however the server behaves, and checks its size.

Writes TARGET.part (see part.py) and then TARGET. A transfer that breaks off or stalls is tried
again from where it stopped, with If-Range, so that bytes of two versions of a file are never joined
(RFC 9110, 13.1.5 and 14). Every number that the server states is held against what it sends. Used
by meld.py.
"""

import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2
from tqdm import tqdm

from meld_lightning.errors import UserError
from meld_lightning.fetch.part import Part, Version
from meld_lightning.storage.atomic import writing

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 10
OK, PARTIAL, UNSATISFIABLE = 200, 206, 416
BUSY = {408, 425, 429}  # as with 5xx, the same request may succeed later
_NUMBER = re.compile(r"[0-9]{1,20}")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,20})-(\d{1,20})/(\d{1,20}|\*)")


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    connect_s, stall_s: seconds without a connection, and without a byte.
    least_bytes: what has to arrive within each `stall_s` seconds; less counts as a stall.
    tries: attempts in a row that bring nothing new.
    pause_s: before the second attempt; doubled before each further one.
    """

    connect_s: float = 30
    stall_s: float = 60
    least_bytes: int = 64 * 1024
    tries: int = 6
    pause_s: float = 1


class NotServedError(Exception):
    """This address does not give the file; another one may."""


class _BrokenOffError(Exception):
    """An attempt brought only a part of the file, or nothing; the next one may bring the rest."""


def download(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    begins_with: bytes = b"",
    patience: Patience | None = None,
) -> None:
    """Downloads `url` to `target`.

    size: of the file in bytes, if it is known; a server that states another one is refused.
    begins_with: the first bytes of such a file; what begins otherwise, such as a page that reports
        an error, is refused.

    Raises NotServedError, one line, where the address does not give that file.
    """
    patience = patience or Patience()
    part, left = Part(target), patience.tries
    furthest = part.resumable(url)
    timeout = httpx2.Timeout(patience.stall_s, connect=patience.connect_s)
    with (
        writing(target),
        httpx2.Client(
            follow_redirects=True, max_redirects=MAX_REDIRECTS, timeout=timeout
        ) as client,
    ):
        while True:
            try:
                _attempt(client, url, part, size, begins_with, patience)
                part.finish(target)
                return
            except (_BrokenOffError, httpx2.TransportError) as error:
                reason = _in_words(error, patience)
                if isinstance(error, httpx2.UnsupportedProtocol):
                    raise NotServedError(f"{url}: leads to something other than http") from error
            except (httpx2.TooManyRedirects, httpx2.InvalidURL) as error:
                raise NotServedError(f"{url}: {_in_words(error, patience)}") from error
            left = patience.tries if part.size > furthest else left - 1
            furthest = max(furthest, part.size)
            if left <= 0:
                raise NotServedError(f"{url}: {reason} ({patience.tries} times)")
            pause = patience.pause_s * 2 ** max(patience.tries - left - 1, 0)
            logger.info("%s: %s; trying again in %.0f s", target.name, reason, pause)
            time.sleep(pause)


def _attempt(
    client: httpx2.Client,
    url: str,
    part: Part,
    size: int | None,
    begins_with: bytes,
    patience: Patience,
) -> None:
    """One request; on return the part is complete."""
    have, known = part.resumable(url), part.version
    if known is not None and have and have == known.size:
        return
    headers = {"Accept-Encoding": "identity"}  # sizes and ranges are those of the file itself
    if have and known is not None and known.validator is not None:
        headers |= {"Range": f"bytes={have}-", "If-Range": known.validator}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == PARTIAL and have and known is not None:
            total = _continues(response, url, known, have, part)
        else:
            total = _from_the_start(response, url, known if have else None, part)
            have = 0
        if size is not None and total is not None and total != size:
            raise NotServedError(f"{url}: has {total:,} bytes, expected {size:,}: another file")
        if have:
            logger.info("%s: continuing after %s bytes", part.path.stem, f"{have:,}")
        _receive(response, part, have, total, begins_with, patience)
    if total is not None and part.size != total:
        raise _BrokenOffError(f"ended after {part.size:,} of {total:,} bytes")
    if size is not None and part.size != size:
        part.discard()
        raise NotServedError(f"{url}: had other than the expected {size:,} bytes")


def _continues(
    response: httpx2.Response, url: str, known: Version, have: int, part: Part
) -> int | None:
    """The whole file's size, of a response that continues the part; else the part is discarded."""
    stated = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    start = int(stated[1]) if stated else None
    total = int(stated[3]) if stated and stated[3] != "*" else None
    now = Version.of(url, response.headers, total)
    if start != have or (now.validator or known.validator) != known.validator:
        part.discard()
        raise _BrokenOffError("the server continues another file, so that it starts over")
    if total is not None and known.size is not None and total != known.size:
        part.discard()
        raise _BrokenOffError("the file changed on the server, so that it starts over")
    return total if total is not None else known.size


def _from_the_start(
    response: httpx2.Response, url: str, known: Version | None, part: Part
) -> int | None:
    """The whole file's size, of a response that holds all of it; starts the part.

    known: of the part that should have been continued.
    """
    status = response.status_code
    if status == UNSATISFIABLE:
        part.discard()
        raise _BrokenOffError("the server has no such part, so that it starts over")
    if status >= 500 or status in BUSY:
        raise _BrokenOffError(f"the server answers {status} {response.reason_phrase}".strip())
    if status != OK:
        raise NotServedError(f"{url}: the server answers {status} {response.reason_phrase}".strip())
    length = response.headers.get("content-length", "")
    total = int(length) if _NUMBER.fullmatch(length) else None
    now = Version.of(url, response.headers, total)
    if known is not None and now != known and now.validator == known.validator:
        # a rest under the status of the whole: no byte of it is in its place
        part.discard()
        raise _BrokenOffError("the server sent a part as if it were all, so that it starts over")
    if known is not None:
        logger.info("%s: the server cannot continue it, so that it starts over", part.path.stem)
    part.begin(now)
    return total


def _receive(
    response: httpx2.Response,
    part: Part,
    have: int,
    total: int | None,
    begins_with: bytes,
    patience: Patience,
) -> None:
    """Appends the body to the part."""
    pace = _Pace(patience)
    bar = tqdm(
        total=total,
        initial=have,
        desc=part.path.stem,
        unit="B",
        unit_scale=True,
        mininterval=1,
        disable=None,
    )
    with part.path.open("ab") as file, bar:
        for chunk in response.iter_raw():
            file.write(chunk)
            bar.update(len(chunk))
            have += len(chunk)
            if have - len(chunk) < len(begins_with) <= have:
                file.flush()
                _check_beginning(part, begins_with, str(response.request.url))
            if total is not None and have > total:
                part.discard()
                raise _BrokenOffError(f"sent more than the {total:,} bytes that it stated")
            pace.count(len(chunk))


def _check_beginning(part: Part, begins_with: bytes, url: str) -> None:
    with part.path.open("rb") as file:
        found = file.read(len(begins_with))
    if found != begins_with:
        part.discard()
        raise NotServedError(f"{url}: sends no such file, but something that begins with {found!r}")


class _Pace:
    """Tells a transfer that stalls, though a byte trickles in from time to time."""

    def __init__(self, patience: Patience) -> None:
        self._patience, self._bytes, self._since = patience, 0, time.monotonic()

    def count(self, size: int) -> None:
        self._bytes += size
        if time.monotonic() - self._since < self._patience.stall_s:
            return
        if self._bytes < self._patience.least_bytes:
            raise _BrokenOffError(
                f"only {self._bytes:,} bytes in {self._patience.stall_s:g} seconds"
            )
        self._bytes, self._since = 0, time.monotonic()


def _in_words(error: Exception, patience: Patience) -> str:
    if isinstance(error, httpx2.ConnectTimeout):
        return f"no connection within {patience.connect_s:g} seconds"
    if isinstance(error, httpx2.ConnectError):
        return f"no connection ({error})"
    if isinstance(error, httpx2.TimeoutException):
        return f"nothing arrived for {patience.stall_s:g} seconds"
    if isinstance(error, httpx2.TooManyRedirects):
        return f"redirects more than {MAX_REDIRECTS} times"
    return (str(error).splitlines() or [type(error).__name__])[0]


def download_from_any(
    urls: tuple[str, ...],
    target: Path,
    *,
    instead: str,
    size: int | None = None,
    begins_with: bytes = b"",
    patience: Patience | None = None,
) -> str:
    """Downloads the file from the first address that gives it; returns that address.

    The address of a part that is there is tried first. Raises UserError, one line, if none does;
    `instead` is what the user may do then.
    """
    begun = Part(target).version
    order = sorted(urls, key=lambda url: begun is None or url != begun.url)
    reasons = []
    for url in order:
        logger.info("downloading %s", url)
        try:
            download(url, target, size=size, begins_with=begins_with, patience=patience)
        except NotServedError as error:
            reasons.append(str(error))
            if url != order[-1]:
                logger.warning("%s; trying the next address", error)
        else:
            return url
    raise UserError(
        f"{target.name} could not be downloaded: {'; '.join(reasons)}; run the same command again"
        f" to continue, or {instead}"
    )

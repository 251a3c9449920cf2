"""A download ends with the server's file or with one line, whatever the server does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from meld_lightning.errors import UserError
from meld_lightning.fetch.download import NotServedError, Patience, download, download_from_any
from meld_lightning.fetch.part import Part
from tests.fetch.server import CONTENT, STEP, Handler, serving

QUICK = Patience(connect_s=5, stall_s=0.2, least_bytes=1000, tries=3, pause_s=0)
OTHER = CONTENT[::-1]


def breaks_off(handler: Handler, number: int) -> None:
    """The connection ends after STEP bytes, twice."""
    handler.serve(ends_after=STEP if number <= 2 else None)


def stalls(handler: Handler, number: int) -> None:
    """The first answer stops in the middle, with the connection open."""
    if number > 1:
        return handler.serve()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.send_header("ETag", '"first"')
    handler.end_headers()
    handler.wfile.write(CONTENT[:STEP])
    handler.wfile.flush()
    handler.given.ended.wait(10)
    handler.close_connection = True
    return None


def trickles(handler: Handler, number: int) -> None:
    """The first answer brings a byte from time to time, so that no read ever times out."""
    if number > 1:
        return handler.serve()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    try:
        while not handler.given.ended.wait(0.02):
            handler.wfile.write(b"x")
            handler.wfile.flush()
    except OSError:
        handler.close_connection = True
    return None


def is_slow(handler: Handler, number: int) -> None:
    """In small pieces with pauses: slow, but not stalled."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    for start in range(0, len(CONTENT), STEP):
        handler.wfile.write(CONTENT[start : start + STEP])
        handler.wfile.flush()
        handler.given.ended.wait(0.01)


def fails_first(handler: Handler, number: int) -> None:
    if number <= 2:
        handler.answer((500, 503)[number - 1], b"busy")
    else:
        handler.serve()


def redirects(handler: Handler, number: int) -> None:
    if number <= 2:
        handler.answer(302, headers={"Location": f"/{number}"})
    else:
        handler.serve()


def ignores_ranges(handler: Handler, number: int) -> None:
    """Breaks off once, then sends everything from the start although a part was asked for."""
    handler.answer(200, CONTENT, ends_after=STEP if number == 1 else None)


def sends_the_rest_as_all(handler: Handler, number: int) -> None:
    """Answers a range with its bytes, but with the status of the whole."""
    start = handler.start_asked()
    handler.answer(200, CONTENT[start:], ends_after=STEP if number == 1 else None)


def continues_elsewhere(handler: Handler, number: int) -> None:
    """Breaks off once, then continues from another byte than was asked for."""
    if number == 2:
        headers = {"Content-Range": f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}"}
        handler.answer(206, CONTENT[7:], headers)
    else:
        handler.serve(ends_after=STEP if number == 1 else None)


def changes(handler: Handler, number: int) -> None:
    """Breaks off once; by then the file is another one."""
    if number == 1:
        handler.serve(ends_after=STEP)
        handler.given.content, handler.given.etag = OTHER, '"second"'
    else:
        handler.serve()


def changes_and_ignores_if_range(handler: Handler, number: int) -> None:
    """As `changes`, but the second answer continues the other file where the first one ended."""
    if number == 1:
        return handler.serve(ends_after=STEP)
    if number == 2:
        headers = {"Content-Range": f"bytes {STEP}-{len(OTHER) - 1}/{len(OTHER)}"}
        return handler.answer(206, OTHER[STEP:], {**headers, "ETag": '"second"'})
    handler.given.content, handler.given.etag = OTHER, '"second"'
    return handler.serve()


def continues_at_no_number(handler: Handler, number: int) -> None:
    """Breaks off once, then states a range of more digits than Python converts."""
    if number == 2:
        handler.answer(206, CONTENT[STEP:], {"Content-Range": f"bytes {STEP}-9/{'9' * 5000}"})
    else:
        handler.serve(ends_after=STEP if number == 1 else None)


def sends_no_length(handler: Handler, number: int) -> None:
    """In chunks, as servers do that do not know how long the answer will be."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for piece in (CONTENT[:STEP], CONTENT[STEP:], b""):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))


@pytest.mark.parametrize(
    ("behave", "requests", "content"),
    [
        (None, 1, CONTENT),
        (breaks_off, 3, CONTENT),
        (stalls, 2, CONTENT),
        (trickles, 2, CONTENT),
        (is_slow, 1, CONTENT),
        (fails_first, 3, CONTENT),
        (redirects, 3, CONTENT),
        (ignores_ranges, 2, CONTENT),
        (sends_the_rest_as_all, 3, CONTENT),
        (continues_elsewhere, 3, CONTENT),
        (continues_at_no_number, 3, CONTENT),
        (changes, 2, OTHER),
        (changes_and_ignores_if_range, 3, OTHER),
        (sends_no_length, 1, CONTENT),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_the_file_arrives_whole(
    tmp_path: Path, behave: Callable[[Handler, int], None] | None, requests: int, content: bytes
) -> None:
    with serving(behave=behave) as server:
        download(server.url, tmp_path / "file", patience=QUICK)
    assert (tmp_path / "file").read_bytes() == content
    assert len(server.ranges) == requests
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def loops(handler: Handler, number: int) -> None:
    handler.answer(302, headers={"Location": "/again"})


def leads_to_a_file(handler: Handler, number: int) -> None:
    handler.answer(302, headers={"Location": "file:///etc/passwd"})


def is_gone(handler: Handler, number: int) -> None:
    handler.answer(404, b"gone")


def promises_more(handler: Handler, number: int) -> None:
    """States a length that it never reaches."""
    if handler.start_asked():
        handler.serve()
    else:
        handler.answer(200, CONTENT, {"Content-Length": str(len(CONTENT) + 1)})


def promises_no_number(handler: Handler, number: int) -> None:
    """States a length of more digits than Python converts."""
    handler.answer(200, CONTENT, {"Content-Length": "9" * 5000})


def promises_less(handler: Handler, number: int) -> None:
    handler.answer(200, CONTENT, {"Content-Length": str(len(CONTENT) - 1)})


def sends_a_page(handler: Handler, number: int) -> None:
    handler.answer(200, b"<html>" + CONTENT[6:])


def never_works(handler: Handler, number: int) -> None:
    handler.answer(503, b"")


@pytest.mark.parametrize(
    ("behave", "message"),
    [
        (loops, "redirects more than 10 times"),
        (leads_to_a_file, "leads to something other than http"),
        (is_gone, "answers 404"),
        (promises_more, r"\(3 times\)"),
        (promises_no_number, r"\(3 times\)"),
        (promises_less, "has 299,999 bytes, expected 300,000"),
        (sends_a_page, "begins with b'<htm'"),
        (never_works, r"answers 503.*\(3 times\)"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_what_is_not_served_is_one_line_and_leaves_no_file(
    tmp_path: Path, behave: Callable[[Handler, int], None], message: str
) -> None:
    size = None if behave is promises_more else len(CONTENT)
    with serving(behave=behave) as server, pytest.raises(NotServedError, match=message) as caught:
        download(
            server.url,
            tmp_path / "file",
            size=size,
            begins_with=CONTENT[:4],
            patience=QUICK,
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "file").exists()


def test_where_no_address_works_each_reason_is_in_the_line(tmp_path: Path) -> None:
    with serving(behave=is_gone) as one:
        closed = "http://127.0.0.1:9/file"  # discard: nothing listens there
        with pytest.raises(UserError, match="answers 404.*127.0.0.1:9.*or walk") as caught:
            download_from_any((one.url, closed), tmp_path / "file", instead="walk", patience=QUICK)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    Part(target).path.symlink_to("/dev/full")
    monkeypatch.setattr(Part, "discard", lambda _: None)  # the device has to stay
    with serving() as server, pytest.raises(UserError, match="No space left.*free some space"):
        download(server.url, target, patience=QUICK)

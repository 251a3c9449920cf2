"""A part of a download is continued only where it is of the same version of the file."""

from pathlib import Path

import pytest

from meld_lightning.fetch.download import NotServedError, download, download_from_any
from meld_lightning.fetch.part import Part
from tests.fetch.server import CONTENT, STEP, Handler, Server, serving
from tests.fetch.test_download import OTHER, QUICK, is_gone, never_works


def part_of(server: Server, target: Path) -> None:
    """Leaves the part of a download whose process was killed."""

    def dies(handler: Handler, number: int) -> None:
        if number == 1:
            handler.serve(ends_after=STEP)
        else:
            handler.answer(503, b"")

    server.behave = dies
    server.ranges.clear()
    with pytest.raises(NotServedError):
        download(server.url, target, patience=QUICK)
    assert Part(target).size == STEP
    server.behave = None
    server.ranges.clear()


def test_a_part_is_continued_by_the_next_process_only_where_it_is_the_same_file(
    tmp_path: Path,
) -> None:
    target = tmp_path / "file"
    with serving() as server:
        part_of(server, target)
        download(server.url, target, patience=QUICK)
        assert server.ranges == [f"bytes={STEP}-"]
        assert target.read_bytes() == CONTENT
    with serving(etag=None) as server:
        part_of(server, target)
        download(server.url, target, patience=QUICK)
        assert server.ranges == [None]  # nothing tells that it is the same file
    with serving() as server, serving() as other:
        part_of(server, target)
        download(other.url, target, patience=QUICK)
        assert other.ranges == [None]
    with serving(etag='W/"weak"') as server:
        part_of(server, target)
        download(server.url, target, patience=QUICK)
        assert server.ranges == [None]


def test_a_part_that_was_there_is_no_progress(tmp_path: Path) -> None:
    with serving() as server:
        part_of(server, tmp_path / "file")
        server.behave = never_works
        with pytest.raises(NotServedError):
            download(server.url, tmp_path / "file", patience=QUICK)
        assert len(server.ranges) == QUICK.tries


def test_a_part_without_a_record_is_not_continued(tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(OTHER[:STEP])
    (tmp_path / "file.part.json").write_text('{"url": 3')
    with serving() as server:
        download(server.url, tmp_path / "file", patience=QUICK)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_mirrors_are_tried_in_order_and_the_one_that_was_begun_first(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with serving(behave=is_gone) as dead, serving() as mirror:
        urls = (dead.url, mirror.url)
        assert download_from_any(urls, target, instead="walk", patience=QUICK) == mirror.url
        assert len(dead.ranges) == 1
        part_of(mirror, target)
        assert download_from_any(urls, target, instead="walk", patience=QUICK) == mirror.url
        assert len(dead.ranges) == 1  # the mirror's part was continued
    assert target.read_bytes() == CONTENT

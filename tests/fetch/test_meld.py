"""MELD arrives complete in one folder, is asked for once, and is left alone when it is there."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from meld_lightning.corpus import load_corpus
from meld_lightning.errors import UserError
from meld_lightning.fetch.meld import fetch
from meld_lightning.fetch.part import Part
from meld_lightning.fetch.request import Request
from meld_lightning.fetch.sources import meld
from tests.fetch.archives import CLIPS, csv_of, meld_archive, written
from tests.fetch.conftest import ALL, ARCHIVE, Site
from tests.fetch.server import Handler
from tests.fetch.test_download import QUICK
from tests.running import call


def test_meld_arrives_and_is_there_the_next_time(tmp_path: Path, site: Site) -> None:
    to = tmp_path / "MELD"
    assert site.fetch(to) == ALL
    names = {path.name for path in to.iterdir() if not path.name.startswith(".")}
    assert names == {"MELD.Raw", "fetched.json", *(known.name for known in site.published.csvs)}
    assert load_corpus(to).table["clip"].notna().all()
    record = json.loads((to / "fetched.json").read_text())
    assert record["archive"]["from"].endswith("/mirror/MELD.Raw.tar.gz")
    assert record["archive"]["sha256"] == site.published.archive.sha256
    before, asked = site.requests, list(site.asked)
    assert site.fetch(to) == ALL
    assert site.requests == before
    assert site.asked == asked
    assert len(asked) == 1


@pytest.mark.slow
def test_what_is_missing_is_got_and_nothing_is_asked_again(tmp_path: Path, site: Site) -> None:
    to = tmp_path / "MELD"
    site.fetch(to, clips=False)
    assert site.requests == 3
    assert not (to / "MELD.Raw").exists()
    assert site.fetch(to) == ALL
    (to / "dev_sent_emo.csv").unlink()
    before = site.requests
    assert site.fetch(to) == ALL
    assert site.requests == before + 1
    assert len(site.asked) == 1


def test_terms_that_are_not_accepted_stop_it_before_any_download(
    tmp_path: Path, site: Site
) -> None:
    site.answer = False
    with pytest.raises(UserError, match="GPL-3.*copyrighted.*accept=true") as caught:
        site.fetch(tmp_path / "MELD")
    assert "\n" not in str(caught.value)
    assert site.requests == 0
    assert site.fetch(tmp_path / "MELD", accepted=True) == ALL


def test_an_archive_at_hand_is_unpacked_and_kept(tmp_path: Path, site: Site) -> None:
    archive = written(tmp_path / "mine.tgz", meld_archive(csvs=True))
    assert site.fetch(tmp_path / "MELD", archive=archive) == ALL
    assert archive.is_file()
    assert site.requests == 2  # train's CSV file is in the archive
    inside = tmp_path / "there"
    inside.mkdir()
    written(inside / "MELD.Raw.tar.gz", ARCHIVE)
    assert site.fetch(inside) == ALL
    assert (inside / "MELD.Raw.tar.gz").is_file()
    assert site.requests == 2 + 3


def test_a_damaged_download_is_replaced_by_a_mirror_s(tmp_path: Path, site: Site) -> None:
    damaged = ARCHIVE[:-9] + bytes(9)
    site.files["damaged.tar.gz"] = damaged
    mirror = site.published.archive.urls[1]
    urls = (mirror.replace("MELD.Raw", "damaged"), mirror)
    site.published = replace(site.published, archive=replace(site.published.archive, urls=urls))
    assert site.fetch(tmp_path / "MELD") == ALL
    site.published = replace(site.published, archive=replace(site.published.archive, urls=urls[:1]))
    with pytest.raises(UserError, match="damaged.tar.gz.*cut short or damaged.*url="):
        site.fetch(tmp_path / "other")
    assert not (tmp_path / "other" / "MELD.Raw").exists()


def test_a_download_that_was_killed_is_continued(tmp_path: Path, site: Site) -> None:
    to, half = tmp_path / "MELD", len(ARCHIVE) // 2
    behave = site.server.behave
    assert behave is not None

    def dies(handler: Handler, number: int) -> None:
        if handler.headers.get("Range"):
            raise ConnectionError
        handler.given.content = ARCHIVE
        handler.serve(ends_after=half)

    site.server.behave = dies
    with pytest.raises(UserError):
        site.fetch(to)
    assert Part(to / "MELD.Raw.tar.gz").size == half
    site.server.behave = behave
    site.server.ranges.clear()
    assert site.fetch(to) == ALL
    assert site.server.ranges[0] == f"bytes={half}-"
    assert not (to / "MELD.Raw.tar.gz").exists()


@pytest.mark.slow
def test_what_a_killed_process_unpacked_does_not_count(tmp_path: Path, site: Site) -> None:
    to = tmp_path / "MELD"
    site.fetch(to)
    (to / "MELD.Raw").rename(to / ".MELD.Raw.0123abcd.tmp")
    assert site.fetch(to) == ALL
    assert (to / "MELD.Raw").is_dir()
    assert not list(to.glob(".MELD.Raw.*"))


@pytest.mark.slow
def test_an_incomplete_copy_is_named_and_not_downloaded_again(tmp_path: Path, site: Site) -> None:
    clips = {"train": CLIPS + 2, "val": CLIPS, "test": CLIPS}
    site.published = replace(site.published, contents=replace(ALL, clips=clips))
    with pytest.raises(UserError, match="incomplete: train 3 of 5 clips"):
        site.fetch(tmp_path / "MELD")
    before = site.requests
    with pytest.raises(UserError, match="incomplete: train 3 of 5 clips"):
        site.fetch(tmp_path / "MELD")
    assert site.requests == before
    assert load_corpus(tmp_path / "MELD").table["clip"].notna().all()


def test_too_little_disk_is_said_with_the_arithmetic_before_anything_is_asked(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=15_000_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    archive = replace(site.published.archive, size=meld().archive.size)
    site.published = replace(site.published, archive=archive)
    message = r"22\.9 GB of disk are needed.*10\.9 to download, up to 12\.0 unpacked.*15\.0 GB are"
    with pytest.raises(UserError, match=message):
        site.fetch(tmp_path / "MELD")
    assert site.asked == []
    assert site.requests == 0


def test_a_csv_file_with_another_digest_is_not_kept(tmp_path: Path, site: Site) -> None:
    site.files["dev_sent_emo.csv"] = csv_of("val").replace(b"joy", b"joj", 1)
    with pytest.raises(UserError, match="dev_sent_emo.csv: sha256 .* expected"):
        site.fetch(tmp_path / "MELD", clips=False)
    assert not (tmp_path / "MELD" / "dev_sent_emo.csv").exists()


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (lambda at: Request(at, archive=at / "none.tar.gz"), "no such file"),
        (lambda at: Request(at, archive=at), "is a folder"),
        (lambda at: Request(at, url="http://"), "expected an address such as https://"),
        (
            lambda at: Request(at, url="host/x.tar.gz"),
            "a file on this machine is given as archive=",
        ),
        (lambda at: Request(at, archive=at / "a", url="http://x"), "exclude each other"),
        (lambda at: Request(at, clips=False, url="http://x"), "clips=false needs no archive"),
        (lambda at: Request(at / "a"), "not a folder"),
    ],
)
def test_wrong_requests_are_refused(
    tmp_path: Path, site: Site, request_of: Callable[[Path], Request], message: str
) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(UserError, match=message):
        fetch(request_of(tmp_path), site.published, site.ask, QUICK)


def test_the_published_facts_are_those_of_the_reader() -> None:
    facts = meld()
    assert sum(facts.contents.records.values()) == 13708
    assert [one.name for one in facts.csvs] == [
        f"{name}_sent_emo.csv" for name in ("train", "dev", "test")
    ]
    assert facts.archive.urls[0].startswith("https://web.eecs.umich.edu/")
    assert "huggingface.co/datasets/declare-lab/MELD" in facts.archive.urls[1]


def test_the_end_of_input_is_no_acceptance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    archive = written(tmp_path / "MELD.Raw.tar.gz", ARCHIVE)
    monkeypatch.setattr("sys.stdin", Terminal())  # as Ctrl-D at the question
    done = call(["fetch", "to=MELD", f"archive={archive}"], tmp_path)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("accept=true")


def test_the_command_asks_for_the_terms_and_refuses_without(tmp_path: Path) -> None:
    archive = written(tmp_path / "MELD.Raw.tar.gz", ARCHIVE)
    done = call(["fetch", "to=my MELD", f"archive={archive}"], tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("meld-lightning: MELD (Poria et al.")
    assert done.stderr.rstrip().endswith("accept=true")
    assert done.stderr.count("\n") == 1
    assert "GB of disk are needed" in done.stdout

"""`fetch` replaces no file of the user's, and removes its own archive even if it was killed."""

import shutil
from pathlib import Path

import pytest

from meld_lightning.errors import UserError
from meld_lightning.fetch.record import read_record
from tests.fetch.archives import csv_of, file, other, packed, written
from tests.fetch.conftest import ALL, ARCHIVE, Site

PAGE = b"<!DOCTYPE html><html><title>train_sent_emo.csv</title></html>"
SHORT = b"\n".join(csv_of("train").splitlines()[:2])
NAME = "MELD.Raw.tar.gz"


class KilledError(Exception):
    """Stands for a kill: nobody handles it."""


def kills(*_: object) -> None:
    raise KilledError


def test_an_incomplete_folder_of_the_user_s_is_not_replaced(tmp_path: Path, site: Site) -> None:
    mine = tmp_path / "MELD.Raw"
    mine.mkdir()
    written(mine / "my_features.npy", b"mine")
    for request in ({}, {"archive": written(tmp_path / "other.tgz", ARCHIVE)}):
        with pytest.raises(UserError, match=r"MELD.Raw: incomplete: train 0 of 3.*move it away"):
            site.fetch(tmp_path, **request)
    assert (mine / "my_features.npy").read_bytes() == b"mine"
    assert site.requests == 0


@pytest.mark.parametrize("clips", [True, False])
@pytest.mark.parametrize("folder", [".", "csv/old"])
@pytest.mark.parametrize(("content", "rows"), [(SHORT, 1), (PAGE, 0)], ids=["short", "page"])
def test_a_csv_file_that_lacks_rows_is_named_and_not_replaced(
    tmp_path: Path, site: Site, content: bytes, rows: int, folder: str, clips: bool
) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    mine = written(tmp_path / folder / "train_sent_emo.csv", content)
    with pytest.raises(UserError, match=f"{rows} of 3 rows.*move it away") as caught:
        site.fetch(tmp_path, clips=clips)
    assert str(caught.value).startswith(f"{mine}: ")
    assert mine.read_bytes() == content
    assert site.requests == 0
    mine.unlink()
    site.fetch(tmp_path, clips=clips)


def test_an_archive_of_the_user_s_is_not_replaced(tmp_path: Path, site: Site) -> None:
    mine = written(tmp_path / NAME, b"mine")
    with pytest.raises(UserError, match=f"{NAME}: there already.*leave out url="):
        site.fetch(tmp_path, url=site.published.archive.urls[1])
    assert mine.read_bytes() == b"mine"


def test_an_archive_that_is_refused_is_removed_where_fetch_got_it(
    tmp_path: Path, site: Site
) -> None:
    site.files["link.tar.gz"] = packed([file("first"), other("link", b"2", "/etc/passwd")])
    to = tmp_path / "MELD"
    with pytest.raises(UserError, match="which is a link"):
        site.fetch(to, url=site.published.archive.urls[1].replace("MELD.Raw", "link"))
    assert not (to / NAME).exists()
    assert site.fetch(to) == ALL
    there = tmp_path / "there"
    there.mkdir()
    mine = written(there / NAME, site.files["link.tar.gz"])
    with pytest.raises(UserError, match=r"which is a link.*remove it, or give.*archive="):
        site.fetch(there)
    assert mine.is_file()


@pytest.mark.parametrize("at", ["unpack", "_put_away"])
@pytest.mark.parametrize("keep", [False, True], ids=["", "keep_archive"])
def test_a_download_is_still_fetch_s_own_after_a_kill(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch, at: str, keep: bool
) -> None:
    """at: the step at which the first process is killed."""
    with monkeypatch.context() as patch:
        patch.setattr(f"meld_lightning.fetch.meld.{at}", kills)
        with pytest.raises(KilledError):
            site.fetch(tmp_path)
    assert (tmp_path / NAME).is_file()
    address, before = site.published.archive.urls[1], site.server.ranges.count(None)
    site.fetch(tmp_path, clips=False)
    assert (tmp_path / NAME).is_file()  # a later call for the clips needs it
    assert site.fetch(tmp_path, keep_archive=keep) == ALL
    assert site.server.ranges.count(None) <= before + len(site.published.csvs)
    assert read_record(tmp_path)["archive"]["from"] == address
    assert (tmp_path / NAME).is_file() == keep
    site.fetch(tmp_path)
    assert (tmp_path / NAME).is_file() == keep  # it is the user's now


def test_a_complete_copy_is_read_without_writing(tmp_path: Path, site: Site) -> None:
    """As one on a read-only file system."""
    site.fetch(tmp_path / "MELD")
    (tmp_path / "MELD/.fetch.lock").unlink(missing_ok=True)
    (tmp_path / "MELD/fetched.json").unlink()
    before = sorted((tmp_path / "MELD").iterdir())
    assert site.fetch(tmp_path / "MELD") == ALL
    assert sorted((tmp_path / "MELD").iterdir()) == before
    shutil.rmtree(tmp_path / "MELD/MELD.Raw")
    assert site.fetch(tmp_path / "MELD", clips=False).records == ALL.records

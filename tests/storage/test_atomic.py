"""Files and folders appear complete or not at all, and are on the disk before their names are."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from meld_lightning.errors import UserError
from meld_lightning.storage.atomic import atomic_folder, leftovers, write_text


def write_folder(target: Path, text: str) -> None:
    with atomic_folder(target) as fresh:
        (fresh / "inner").mkdir()
        (fresh / "inner" / "file").write_text(text)


def text_of(target: Path) -> str:
    return (target / "inner" / "file" if target.is_dir() else target).read_text()


@pytest.mark.parametrize("write", [write_text, write_folder])
@pytest.mark.parametrize("call", ["fsync", "rename"])
@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EIO, "check the disk"),
        (errno.ENOSPC, "free some space"),
        (errno.EFBIG, "raise ulimit -f"),
    ],
)
def test_a_failed_write_leaves_what_was_there(
    write: Callable[[Path, str], None],
    call: str,
    number: int,
    remedy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "target"
    write(target, "old")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        for name in ("rename", "replace") if call == "rename" else ("fsync",):
            patched.setattr(os, name, fail)
        with pytest.raises(UserError) as raised:
            write(target, "new")
    assert str(raised.value) == (
        f"{target}: {os.strerror(number)}; {remedy} and run the command again: finished work is"
        " kept"
    )
    assert text_of(target) == "old"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("write", [write_text, write_folder])
def test_all_is_on_the_disk_before_the_name_is(
    write: Callable[[Path, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def note_sync(file: int) -> None:
        seen.append(("on disk", Path(f"/proc/self/fd/{file}").readlink().name))
        fsync(file)

    def note_name(call: Callable[..., None]) -> Callable[..., None]:
        def named(source: Path, target: Path) -> None:
            seen.append(("named", target.name))
            call(source, target)

        return named

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_name(rename))
    monkeypatch.setattr(os, "replace", note_name(replace))
    write(tmp_path / "target", "new")
    *before, named, after = seen
    assert (named, after) == (("named", "target"), ("on disk", tmp_path.name))
    assert {kind for kind, _ in before} == {"on disk"}
    inside = 1 if write is write_text else 3  # the folder, the one in it, its file
    assert len(before) == inside


def test_a_file_system_that_syncs_no_folder_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def refuse_folders(file: int) -> None:
        if Path(f"/proc/self/fd/{file}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(file)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    write_text(tmp_path / "target", "new")
    assert (tmp_path / "target").read_text() == "new"

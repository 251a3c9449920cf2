"""An archive is unpacked whole into its folder, or refused with nothing left."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from meld_lightning.errors import UserError
from meld_lightning.fetch.unpack import DamagedArchiveError, Limits, unpack
from tests.fetch.archives import Member, file, meld_archive, other, packed, written

SMALL = Limits(size=1_000_000, members=20)


def unpacked(tmp_path: Path, content: bytes, limits: Limits = SMALL) -> Path:
    folder = tmp_path / "into" / "MELD"
    unpack(written(tmp_path / "a.tar.gz", content), folder, limits)
    return folder


def refusal(
    tmp_path: Path, content: bytes, kind: type[Exception] = UserError, limits: Limits = SMALL
) -> str:
    """The line with which the archive is refused; nothing is left of it."""
    with pytest.raises(kind) as caught:
        unpacked(tmp_path, content, limits)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar.gz", "into"]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_inner_archives_become_folders_of_their_names(tmp_path: Path) -> None:
    folder = unpacked(tmp_path, meld_archive(csvs=True))
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.mp4")}
    assert len(found) == 11
    clip = "train_splits/dia0_utt2.mp4"
    assert found[f"MELD.Raw/train/{clip}"].read_bytes() == clip.encode() * 50
    assert (folder / "MELD.Raw/train/train_sent_emo.csv").is_file()
    assert not list(folder.rglob("*.gz"))


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (file("/etc/absolute"), "outside"),
        (file("../beside"), "outside"),
        (file("a/../../beside"), "outside"),
        (file("..\\beside"), "outside"),
        (other("link", tarfile.SYMTYPE, "/etc/passwd"), "which is a link"),
        (other("link", tarfile.SYMTYPE, "a"), "which is a link"),
        (other("hard", tarfile.LNKTYPE, "first"), "which is a link"),
        (other("null", tarfile.CHRTYPE), "neither a file nor a folder"),
        (other("disk", tarfile.BLKTYPE), "neither a file nor a folder"),
        (other("pipe", tarfile.FIFOTYPE), "neither a file nor a folder"),
        (file("first"), "two members named 'first'"),
        (file("first/below"), "two members named 'first/below'"),
        (file("big", b"0" * 1_000_001), "more than 1,000,000 bytes"),
    ],
    ids=lambda one: one if isinstance(one, str) else one[0].name,
)
@pytest.mark.parametrize("inside", [False, True], ids=["outer", "inner"])
def test_hostile_members_are_refused(
    tmp_path: Path, member: Member, message: str, inside: bool
) -> None:
    content = packed([file("first"), member])
    if inside:
        content = packed([file("x/train.tar.gz", content)])
    assert message in refusal(tmp_path, content)


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    assert "more than 20 files" in refusal(tmp_path, packed([file(str(n)) for n in range(21)]))


def test_archives_inside_inner_archives_are_refused(tmp_path: Path) -> None:
    content = packed([file("clip.mp4")])
    for depth in (1, 2):
        content = packed([file(f"{depth}.tar.gz", content)])
    assert "deeper than 2" in refusal(tmp_path, content)


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    info, content = file("hole", b"1\n0\n0\n" + bytes(506))
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    info.pax_headers |= {"GNU.sparse.name": "hole", "GNU.sparse.realsize": str(10**15)}
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(content))
    assert "neither" in refusal(tmp_path, gzip.compress(plain.getvalue()))


def test_a_header_cannot_fill_the_memory(tmp_path: Path) -> None:
    """A name of 3 MB, which is a few kB compressed; tarfile reads it whole."""
    message = refusal(tmp_path, packed([file("n" * 3_000_000)]), DamagedArchiveError)
    assert "a header of more than a megabyte" in message


@pytest.mark.parametrize("where", [0.3, 0.99])
def test_an_archive_that_is_cut_short_is_damaged(tmp_path: Path, where: float) -> None:
    content = meld_archive()
    assert "cut short" in refusal(
        tmp_path, content[: int(len(content) * where)], DamagedArchiveError
    )


def test_an_inner_archive_that_is_cut_short_is_damaged(tmp_path: Path) -> None:
    inner = packed([file(f"train_splits/dia0_utt{n}.mp4") for n in range(9)])
    outer = packed([file("train.tar.gz", inner[:-4]), file("last")])
    assert "cut short" in refusal(tmp_path, outer, DamagedArchiveError)


def test_a_changed_byte_is_found_by_the_checksum(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(tar_of(file("clip.mp4", bytes(range(256)) * 9)), 0))
    content[len(content) // 3] ^= 1
    assert "CRC" in refusal(tmp_path, bytes(content), DamagedArchiveError)


def tar_of(*members: Member) -> bytes:
    return gzip.decompress(packed(members))


def test_what_is_no_archive_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a \.tar\.gz file"):
        unpacked(tmp_path, b"<html>404</html>")
    refusal(tmp_path, gzip.compress(b"no tar in it" * 100), DamagedArchiveError)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "into" / ".MELD.0123abcd.tmp"
    left.mkdir(parents=True)
    (left / "dia0_utt0.mp4").touch()
    unpacked(tmp_path, meld_archive())
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["MELD"]

"""Unpacks a .tar.gz archive, and the .tar.gz archives inside it, in one pass over the file.

Reads the archive; writes one folder, which appears under its name only when all of the archive was
read. Inner archives are never written to disk: MELD's hold its clips, so that the disk needed is
that of the clips. An archive is refused as soon as it would write outside the folder, make a link
or a device, or unpack to more than was allowed. Used by meld.py.
"""

import errno
import gzip
import io
import logging
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from meld_lightning.errors import UserError
from meld_lightning.storage.atomic import atomic_folder

logger = logging.getLogger(__name__)

INNER = (".tar.gz", ".tgz")
GZIP = b"\x1f\x8b"
BLOCK = 1 << 20
# Headers are read into memory, so that an archive must not choose how large they are: names take
# some hundred bytes. tarfile reads ahead by 10 KiB.
HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to: bytes in all, files and folders, and archives in archives."""

    size: int
    members: int = 100_000
    depth: int = 2

    @classmethod
    def of(cls, archive_size: int) -> "Limits":
        """For an archive of clips, which hardly compress. Its CSV files do, by far less than the
        64 MB that are granted for them."""
        return cls(archive_size + archive_size // 10 + 64_000_000)


class DamagedArchiveError(Exception):
    """The archive is cut short or damaged; another copy of it may not be."""


class RefusedArchiveError(UserError):
    """The archive holds what a corpus has no use for, such as links."""


def unpack(archive: Path, folder: Path, limits: Limits | None = None) -> None:
    """Unpacks `archive` into the new folder `folder`; what a killed process left of it is removed.

    The content of an inner archive `train.tar.gz` lies in the folder `train` beside where it lay.

    Raises DamagedArchiveError where the archive is not whole, and RefusedArchiveError where it
    holds what a corpus has no use for; either way nothing is left.
    """
    limits = limits or Limits.of(archive.stat().st_size)
    with archive.open("rb") as file:
        if file.read(len(GZIP)) != GZIP:
            raise RefusedArchiveError(
                f"{archive}: not a .tar.gz file; give MELD's archive as published"
            )
        file.seek(0)
        bar = tqdm(total=limits.size, desc="unpacking", unit="B", unit_scale=True, disable=None)
        with bar, atomic_folder(folder) as fresh:
            unpacking = _Unpacking(archive, limits, bar)
            try:
                unpacking.read(file, fresh, 1)
            except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
                reason = str(error) or type(error).__name__
                raise DamagedArchiveError(f"{archive}: cut short or damaged ({reason})") from error


class _Unpacking:
    """One pass over an archive; counts what it writes."""

    def __init__(self, archive: Path, limits: Limits, bar: "tqdm[None]") -> None:
        self._archive, self._limits, self._bar = archive, limits, bar
        self._size = self._members = 0

    def read(self, packed: IO[bytes], folder: Path, depth: int) -> None:
        """Unpacks a .tar.gz stream into `folder`."""
        if depth > self._limits.depth:
            raise self._refused(f"archives in archives deeper than {self._limits.depth}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise self._refused(f"two members named {folder.name!r}") from error
        with gzip.GzipFile(fileobj=packed) as plain:
            stream = _Stream(plain, self._limits.size)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in self._members_of(tar, stream):
                    self._take(tar, stream, member, folder, depth)
            while plain.read(BLOCK):  # to the end, where gzip's checksum stands
                stream.count(BLOCK)

    def _members_of(self, tar: tarfile.TarFile, stream: "_Stream") -> Iterator[tarfile.TarInfo]:
        while True:
            stream.grant(HEADER_BYTES)
            member = tar.next()
            if member is None:
                return
            self._members += 1
            if self._members > self._limits.members:
                raise self._refused(f"more than {self._limits.members:,} files")
            yield member

    def _take(
        self,
        tar: tarfile.TarFile,
        stream: "_Stream",
        member: tarfile.TarInfo,
        folder: Path,
        depth: int,
    ) -> None:
        target = folder / self._checked(member, folder)
        with self._named(member, "folder"):
            (target if member.isdir() else target.parent).mkdir(parents=True, exist_ok=True)
        if member.isdir():
            return
        stream.grant(member.size + HEADER_BYTES)
        content = tar.extractfile(member)
        assert content is not None  # a regular file
        if member.name.endswith(INNER):
            name = next(target.name.removesuffix(end) for end in INNER if target.name.endswith(end))
            self.read(content, target.with_name(name or "archive"), depth + 1)
            return
        self._grow(member.size)
        with self._named(member, "file"), target.open("xb") as file:
            while block := content.read(BLOCK):
                file.write(block)
                self._bar.update(len(block))

    @contextmanager
    def _named(self, member: tarfile.TarInfo, kind: str) -> Iterator[None]:
        """Turns errors of making the member's file or folder into a refusal of its name."""
        try:
            yield
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            raise self._refused(f"two members named {member.name!r}") from error
        except ValueError as error:
            raise self._refused(f"{member.name!r}, which is no name of a {kind} here") from error
        except OSError as error:
            raise self._explained(error, member) from error

    def _checked(self, member: tarfile.TarInfo, folder: Path) -> str:
        """The member's path below the folder; refused unless it is a file or a folder there."""
        path = PurePosixPath(member.name)
        if member.issparse() or not (member.isreg() or member.isdir()):
            kind = "a link" if member.islnk() or member.issym() else "neither a file nor a folder"
            raise self._refused(f"{member.name!r}, which is {kind}")
        if path.is_absolute() or ".." in path.parts or "\\" in member.name:
            raise self._refused(f"{member.name!r}, which lies outside of the archive's folder")
        try:
            return tarfile.data_filter(member, os.fspath(folder)).name
        except (tarfile.FilterError, ValueError) as error:  # ValueError: of a NUL in a name
            raise self._refused(f"{member.name!r}: {error}") from error

    def _explained(self, error: OSError, member: tarfile.TarInfo) -> Exception:
        """A refusal where the member's name is at fault; else the error itself, such as of a full
        disk."""
        if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            return error
        return self._refused(f"{member.name[:40]!r}, {(error.strerror or '').lower()}")

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limits.size:
            raise self._refused(f"more than {self._limits.size:,} bytes when unpacked")

    def _refused(self, what: str) -> RefusedArchiveError:
        return RefusedArchiveError(
            f"{self._archive}: holds {what}; it was not unpacked: give MELD's archive as published"
        )


class _Stream(io.RawIOBase):
    """What tarfile reads from: refuses to hand out more than was granted, so that no header fills
    the memory."""

    def __init__(self, plain: gzip.GzipFile, most: int) -> None:
        super().__init__()
        self._plain, self._granted, self._left = plain, HEADER_BYTES, most + HEADER_BYTES

    def grant(self, size: int) -> None:
        """Lets tarfile read so many bytes until the next grant."""
        self._granted = size

    def count(self, size: int) -> None:
        """Counts what is read behind the archive's end."""
        self._left -= size
        if self._left < 0:
            raise tarfile.ReadError("more data than files")

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as tarfile asks for them."""
        block = self._plain.read(size)
        self._granted -= len(block)
        if self._granted < 0:
            raise tarfile.ReadError("a header of more than a megabyte")
        return block

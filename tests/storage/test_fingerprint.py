"""Fingerprints tell a changed file from a copied one; digests keep the values that committed
evidence holds."""

import hashlib
import os
import re
from pathlib import Path

import pytest

import meld_lightning
from meld_lightning.storage.fingerprint import Fingerprint, bytes_digest, digest_of, file_digest

PACKAGE = Path(meld_lightning.__file__).parent
ALONE = {  # what only one room may use, and in which file
    r"\bhashlib\b": "storage/fingerprint.py",
    r"\bFileLock\b": "storage/once.py",
}


def test_a_copy_matches_and_a_change_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello")
    known = Fingerprint.from_json({"name": "a.txt", **Fingerprint.of(path).as_json()})
    assert known.matches(path)
    os.utime(path, (1, 1))
    assert known.matches(path)  # copied: another time, the same bytes
    path.write_text("jello")  # as long as before
    os.utime(path, (2, 2))
    assert not known.matches(path)
    path.write_text("hello, you")
    assert not known.matches(path)
    path.unlink()
    assert not known.matches(path)


def test_digests_are_sha256_of_bytes_and_of_sorted_json(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    whole = hashlib.sha256(b"abc").hexdigest()
    assert file_digest(tmp_path / "x") == bytes_digest([b"a", b"bc"]) == whole
    assert digest_of({"b": [1, None], "a": "ä"}) == digest_of({"a": "ä", "b": [1, None]})
    assert digest_of({"a": 1}, 64) == hashlib.sha256(b'{"a": 1}').hexdigest()
    assert len(digest_of([])) == 12


@pytest.mark.parametrize(("word", "home"), ALONE.items())
def test_hashes_and_locks_have_one_home(word: str, home: str) -> None:
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(word, path.read_text(encoding="utf-8"))
    }
    assert users == {home}

"""Broken links, loops and closed folders: each is a missing file with its reason."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meld_lightning.commands.cli import main
from meld_lightning.corpus import load_corpus, missing_files
from meld_lightning.corpus.readers import clip_files, meld_files
from meld_lightning.errors import UserError
from tests.corpus.manifests import manifest, speech

Write = Callable[..., Path]
NO_CHECKPOINTS = ("bert", "roberta", "wav2vec2", "speech_emotion", "clip")


def broken(folder: Path) -> dict[str, str]:
    """Names of files in `folder` that cannot be read, each with the reason."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dead.mp4").symlink_to("/nowhere/dead.mp4")
    (folder / "one.mp4").symlink_to("two.mp4")
    (folder / "two.mp4").symlink_to("one.mp4")
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    (folder / "plain.mp4").write_bytes(b"clip")
    return {
        "dead.mp4": "broken link to /nowhere/dead.mp4",
        "one.mp4": "a loop of links",
        "folder.mp4": "a folder, not a file",
        "pipe.mp4": "not a regular file",
        "absent.mp4": "file not found",
        "plain.mp4/x.mp4": "file not found",
        "x" * 300 + ".mp4": "file name too long",
        "~nobody.mp4": "file not found",
    }


def test_files_of_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    reasons = broken(tmp_path / "clips")
    rows = [
        row | {"clip": name if name.startswith("~") else f"clips/{name}"}
        for row, name in zip(speech(9), ["plain.mp4", *reasons], strict=True)
    ]
    corpus = load_corpus(manifest(tmp_path, rows), "manifest", split="row", folds=3)
    found = {row["key"]: row["reason"] for row in corpus.report["rows"]}
    assert found == dict(zip([row["id"] for row in rows[1:]], reasons.values(), strict=True))
    assert corpus.table["clip"].tolist() == [str(tmp_path / "clips/plain.mp4")] + [None] * 8
    assert corpus.report["files"] == {
        "named": 9,
        "missing": 8,
        "patterns": {"clips/*.mp4": 6, "clips/plain.mp4/*.mp4": 1, "*.mp4": 1},
        "first": "clips/dead.mp4 (broken link to /nowhere/dead.mp4)",
    }


def closed(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    """Takes away the right to read `paths`, which permissions cannot do for a superuser."""
    access, walk = os.access, os.walk

    def refuse(path: Any, mode: int, **options: Any) -> bool:
        return Path(path) not in paths and access(path, mode, **options)

    def listed(top: Any, onerror: Any, **options: Any) -> Any:
        for folder, folders, names in walk(top, onerror=onerror, **options):
            for name in [one for one in folders if Path(folder, one) in paths]:
                onerror(PermissionError(13, "Permission denied", str(Path(folder, name))))
                folders.remove(name)
            yield folder, folders, names

    monkeypatch.setattr(clip_files.os, "access", refuse)
    monkeypatch.setattr(meld_files.os, "walk", listed)


def test_links_and_closed_folders_below_meld(
    meld_like: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = meld_like()
    before = load_corpus(root).digest
    broken(root / "other")
    clips = {split: root / f"{split}_splits/dia0_utt0.mp4" for split in ("train", "dev", "test")}
    for clip in clips.values():
        clip.parent.mkdir()
    clips["train"].symlink_to("/nowhere/dia0_utt0.mp4")
    clips["dev"].write_bytes(b"clip")
    clips["test"].write_bytes(b"wrong clip")
    recut = clips["test"].with_name("final_videos_testdia0_utt0.mp4")
    recut.symlink_to(recut)
    (root / "closed").mkdir()
    (root / "other" / "up").symlink_to(root)
    closed(monkeypatch, root / "closed", clips["dev"])
    corpus = load_corpus(root)
    assert corpus.digest == before
    assert corpus.table["clip"].tolist() == [None] * 3
    reasons = {(row["key"], row["reason"]) for row in corpus.report["rows"]}
    assert reasons >= {
        ("train/dia0_utt0", "broken link to /nowhere/dia0_utt0.mp4"),
        ("val/dia0_utt0", "no permission to read it"),
        ("test/dia0_utt0", "a loop of links"),
    }
    assert corpus.report["assumed"] == [
        f"{root / 'closed'} cannot be listed (permission denied), so its files are not used"
    ]


def test_a_readable_copy_stands_in_for_a_dead_link(meld_like: Write) -> None:
    root = meld_like()
    copy = root / "deep/train/dia0_utt0.mp4"
    for path in (copy, root / "train/dia0_utt0.mp4"):
        path.parent.mkdir(parents=True)
    copy.write_bytes(b"clip")
    (root / "train/dia0_utt0.mp4").symlink_to("/nowhere")
    (root / "deep/train_sent_emo.csv").symlink_to("/nowhere/train_sent_emo.csv")
    corpus = load_corpus(root)
    assert corpus.table["clip"].tolist() == [str(copy), None, None]
    (root / "train_sent_emo.csv").unlink()
    with pytest.raises(UserError, match=r"train_sent_emo.csv cannot be read \(broken link to /no"):
        load_corpus(root)


def test_prepare_says_first_that_files_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [row | {"audio": f"wav/{row['id']}.wav"} for row in speech()]
    asked = ["corpus=manifest", f"corpus.root={manifest(tmp_path, rows)}", "corpus.split=row"]
    asked += [f"checkpoints.{name}=null" for name in NO_CHECKPOINTS]
    assert main(["prepare", *asked]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "60 of its 60 media files cannot be read: 60 of wav/*.wav" in printed.err
    assert main(["prepare", *asked, "corpus.allow_missing=true"]) == 0
    assert "60 of its 60 media files cannot be read" in capsys.readouterr().out.splitlines()[0]
    assert main(["prepare", *asked, "media.keep=[]"]) == 0  # a study of text alone


def test_more_than_a_tenth_missing_is_refused_unless_allowed(tmp_path: Path) -> None:
    rows = [row | {"audio": f"wav/{row['id']}.wav"} for row in speech(20)]
    (tmp_path / "wav").mkdir()
    for row in rows[3:]:
        (tmp_path / row["audio"]).write_bytes(b"sound")
    corpus = load_corpus(manifest(tmp_path, rows), "manifest", split="row")
    line = (
        "corpus mine: 3 of its 20 media files cannot be read: 3 of wav/*.wav; the first is"
        " wav/u000.wav (file not found)"
    )
    with pytest.raises(UserError) as error:
        missing_files(corpus, allow_missing=False)
    assert str(error.value).startswith(f"{line}; restore the files or correct their names")
    assert "corpus.allow_missing=true" in str(error.value)
    assert missing_files(corpus, allow_missing=True) == line
    (tmp_path / rows[0]["audio"]).write_bytes(b"sound")
    corpus = load_corpus(manifest(tmp_path, rows), "manifest", split="row")
    assert "2 of its 20 media files" in str(missing_files(corpus, allow_missing=False))
    text_only = load_corpus(manifest(tmp_path, speech()), "manifest", split="row")
    assert missing_files(text_only, allow_missing=False) is None


def test_a_root_that_is_a_loop_of_links_or_in_no_home_gets_one_line(tmp_path: Path) -> None:
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    for root in (loop, "~nobody-has-this-name/a.csv"):
        with pytest.raises(UserError, match="a loop of links|no such file"):
            load_corpus(root, layout="manifest")

"""The command line of predict: which words are clips, and which reach Hydra's grammar."""

from pathlib import Path

import pytest

from meld_lightning.commands.words import taken_apart

ODD = [
    "my clip (2).mov",
    "a, b.mp4",
    "{a}[b].mp4",
    "a=b.mp4",
    "${paths.runs}$HOME.mp4",
    'it\'s "quoted" `here`.mp4',
    "line\nbreak.mp4",
    "-leading.mp4",
    "--help.mp4",
    "~tilde.mp4",
    "+plus=1.mp4",
    "\\back\\slash.mp4",
    "😀 ü 日本.mp4",
    " blank .mp4",
    "# no comment.mp4",
    "a:b;c|d&e*?.mp4",
]


@pytest.mark.parametrize("name", ODD)
def test_a_file_is_a_clip_whatever_its_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    words = taken_apart([name, "risk=0.1", f"text={name}", f"from={name}"], ("text", "from"))
    assert words.named == [name]
    assert words.rest == ["risk=0.1"]
    assert words.literal["text"] == [name]
    assert words.last("from") == name


def test_flags_keys_and_missing_files_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    words = taken_apart(
        ["--config-dir", "configs", "gone (1).mp4", "--help", "media.keep_cut=true", "+x.y=1"], ()
    )
    assert words.named == ["gone (1).mp4"]
    assert words.rest == ["--config-dir", "configs", "--help", "media.keep_cut=true", "+x.y=1"]
    # no file of that name, and no key of ours: a clip that is missing, and no grammar's business
    assert taken_apart(["no such, clip=(2).mp4", "x" * 5000, "nul\0.mp4"], ()).named == [
        "no such, clip=(2).mp4",
        "x" * 5000,
        "nul\0.mp4",
    ]

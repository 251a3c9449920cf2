"""corpus.realignment gives each row of MELD the clip that holds most of its speech, and says so."""

from pathlib import Path

import pytest

from meld_lightning.corpus import load_corpus, prepare_corpus, prepared_corpus, render_report
from meld_lightning.errors import UserError
from meld_lightning.fetch.unpack import unpack
from tests.fetch.archives import csv_of, meld_archive, written

HEADER = (
    "Split,Dialogue ID,Utterance ID,Original Dialogue ID,Original Utterance ID,Start Time,End Time"
)
# train: 0 keeps its clip, 1 was renumbered to 2 and lies mostly in clip 2, 2 lies nowhere.
# test: 0 lies in clip 1, which has a corrected version; 1 has one itself; 2 is not in the map.
PIECES = [
    "train,0,0,0,0,0.5,2.0",
    "train,0,0,0,1,0.0,1.0",
    "train,0,2,0,1,0.0,0.25",
    "train,0,2,0,2,0.0,0.5",
    "train,0,2,0,1,1.0,1.2",
    "test,0,0,0,1,0.0,1.0",
    "test,0,1,0,2,0.0,1.0",
]
IDS = {"train": ["0,0,0", "0,1,2", "0,2,1"], "dev": ["0,0,0"], "test": ["0,0,0", "0,1,1"]}


@pytest.fixture
def meld(tmp_path: Path) -> Path:
    """A small MELD: three clips of each split, and a corrected one of test's dia0_utt1."""
    folder = tmp_path / "meld"
    folder.mkdir()
    unpack(written(tmp_path / "a.tar.gz", meld_archive()), folder / "MELD.Raw")
    for split, name in {"train": "train", "val": "dev", "test": "test"}.items():
        written(folder / f"{name}_sent_emo.csv", csv_of(split))
    return folder


@pytest.fixture
def pieces(tmp_path: Path) -> Path:
    """MELD-FAIR's four files."""
    for name, rows in IDS.items():
        lines = [",Dialogue_ID,Original Utterance_ID,Utterance_ID", *(f"7,{row}" for row in rows)]
        written(tmp_path / f"realigned_{name}_sent_emo.csv", "\n".join(lines).encode())
    path = tmp_path / "MELD_video_realignment_timestamps.csv"
    return written(path, "\n".join([HEADER, *PIECES]).encode())


def clips_of(meld: Path, realignment: Path | None) -> dict[str, str | None]:
    table = load_corpus(meld, realignment=realignment).table
    names = [None if clip is None else Path(clip).name for clip in table["clip"]]
    return dict(zip(table["key"], names, strict=True))


def test_rows_get_the_clip_that_holds_most_of_their_speech(meld: Path, pieces: Path) -> None:
    before, after = clips_of(meld, None), clips_of(meld, pieces)
    changed = {key: after[key] for key in before if before[key] != after[key]}
    assert changed == {
        "train/dia0_utt1": "dia0_utt2.mp4",
        "train/dia0_utt2": None,
        "test/dia0_utt0": "dia0_utt1.mp4",  # the plain file, which MELD-FAIR aligned
        "val/dia0_utt0": None,
    }
    assert after["test/dia0_utt1"] == "final_videos_testdia0_utt1.mp4"


def test_the_report_counts_what_it_moved_and_dropped(meld: Path, pieces: Path) -> None:
    report = load_corpus(meld, realignment=pieces).report
    counts = report["clips"]["counts"]
    assert counts["moved"] == {"train": 1, "val": 0, "test": 1}
    assert counts["dropped"] == {"train": 1, "val": 1, "test": 0}
    assert counts["kept"] == {"train": 1, "val": 0, "test": 0}
    assert counts["recut"] == {"train": 0, "val": 0, "test": 1}
    assert counts["unmapped"] == {"train": 0, "val": 2, "test": 1}
    assert "| realigned: another clip, which holds most of the speech | 1 | 0 | 1 |" in (
        render_report(report)
    )
    assert "moved" not in load_corpus(meld).report["clips"]["counts"]


def test_it_is_part_of_the_prepared_corpus(meld: Path, pieces: Path, tmp_path: Path) -> None:
    settings = {"name": "meld", "layout": "meld", "root": str(meld)}
    plain = prepare_corpus(settings, tmp_path / "cache")
    moved = prepare_corpus({**settings, "realignment": str(pieces)}, tmp_path / "cache")
    assert prepared_corpus(settings, tmp_path / "cache").table.equals(plain.table)
    pieces.write_text("\n".join([HEADER, *PIECES[1:]]))
    with pytest.raises(UserError, match="changed since it was prepared.*corpus.realignment="):
        prepared_corpus({**settings, "realignment": str(pieces)}, tmp_path / "cache")
    assert not moved.table.equals(plain.table)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("train,0,0,0,0,2.0,1.0", "row 9: Start Time and End Time are not seconds in order"),
        ("train,0,0,0,0,x,1.0", "row 9: Start Time and End Time are not seconds in order"),
        ("valid,0,0,0,0,0,1", "row 9: Split is none of train, dev, test"),
        ("train,0,0,0,x,0,1", "row 9"),
    ],
)
def test_a_damaged_file_is_named_with_its_row(
    meld: Path, pieces: Path, broken: str, message: str
) -> None:
    pieces.write_text("\n".join([HEADER, *PIECES, broken]))
    with pytest.raises(UserError, match=message) as caught:
        load_corpus(meld, realignment=pieces)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(meld: Path, pieces: Path) -> None:
    (pieces.parent / "realigned_dev_sent_emo.csv").unlink()
    with pytest.raises(UserError, match="realigned_dev_sent_emo.csv is not there"):
        load_corpus(meld, realignment=pieces)
    with pytest.raises(UserError, match="corpus=meld only"):
        load_corpus(pieces, layout="manifest", realignment=pieces)

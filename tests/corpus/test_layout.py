"""MELD's layout on small copies made here: nesting, clips, legacy text, and one-line errors that
say where."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from meld_lightning.corpus import load_corpus, render_report
from meld_lightning.errors import UserError
from tests.repeats import few
from tests.running import call

Write = Callable[..., Path]
HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,"
    "Season,Episode,StartTime,EndTime\r\n"
)
ROW = '1,Hello,Ada,joy,positive,0,0,1,2,"00:00:01,000","00:00:02,500"\r\n'
NEXT = '2,Well,Bruno,neutral,neutral,0,1,1,2,"0:10:44,769","0:10:46,146"\r\n'


def touch(path: Path, content: bytes = b"clip") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def test_files_are_found_by_name_at_any_depth(meld_like: Write, tmp_path: Path) -> None:
    flat = meld_like(test=HEADER + ROW + NEXT)
    deep = tmp_path / "MELD-RAW" / "MELD.Raw"
    deep.mkdir(parents=True)
    shutil.copy(flat / "train_sent_emo.csv", deep / "train_sent_emo.csv")
    (deep / "test").mkdir()
    shutil.copy(flat / "dev_sent_emo.csv", deep / "test" / "dev_sent_emo.csv")
    shutil.copy(flat / "test_sent_emo.csv", deep / "test" / "test_sent_emo.csv")
    corpus = load_corpus(tmp_path / "MELD-RAW")
    assert corpus.table["key"].tolist() == [
        "train/dia0_utt0",
        "val/dia0_utt0",
        "test/dia0_utt0",
        "test/dia0_utt1",
    ]
    assert corpus.table["start_s"].tolist() == [1.0, 1.0, 1.0, 644.769]
    assert corpus.digest == load_corpus(flat).digest


def test_copies_of_a_csv_must_agree(meld_like: Write) -> None:
    root = meld_like(train=HEADER + ROW.replace("Hello", "It\u2019s"))
    other = root / "old" / "train_sent_emo.csv"
    touch(other, (HEADER + ROW.replace("Hello", "It\u0092s")).replace("\r\n", "\n").encode())
    assert load_corpus(root).table["text"].iloc[0] == "It\u2019s"
    touch(other, (HEADER + ROW.replace("joy", "fear")).encode())
    with pytest.raises(
        UserError, match=r"data/train_sent_emo.csv and .*old/train_sent_emo.csv differ"
    ):
        load_corpus(root)


@pytest.mark.parametrize(
    "folders",
    [
        ("train_splits", "dev_splits_complete", "output_repeated_splits_test"),
        ("MELD.Raw/train/train_splits/", "MELD.Raw/dev/dev_splits_complete", "x/TEST/a/b"),
    ],
)
def test_clips_are_joined_by_ids_and_recuts_win(
    meld_like: Write, folders: tuple[str, str, str]
) -> None:
    root = meld_like(test=HEADER + ROW + NEXT)
    train, dev, test = (root / folder for folder in folders)
    touch(train / "._dia0_utt0.mp4")
    clip = touch(train / "dia0_utt0.mp4")
    touch(dev / "dia0_utt1.mp4")
    touch(test / "dia0_utt0.mp4")
    recut = touch(test / "final_videos_testdia0_utt0.mp4")
    empty = touch(test / "dia0_utt1.mp4", b"")
    touch(test / "._dia0_utt1.mp4")
    touch(root / "dia0_utt0.mp4")
    corpus = load_corpus(root)
    assert corpus.table["clip"].tolist() == [clip, None, recut, empty]
    clips = corpus.report["clips"]
    assert {name: tuple(counts.values()) for name, counts in clips["counts"].items()} == {
        "found": (1, 1, 2),
        "rows_without_clip": (0, 1, 0),
        "clips_without_row": (0, 1, 0),
        "recuts_used": (0, 0, 1),
        "stubs_skipped": (1, 0, 1),
        "empty": (0, 0, 1),
        "copies": (0, 0, 0),
    }
    assert clips["without_row"] == ["val/dia0_utt1"]
    assert clips["of_no_split"] == ["dia0_utt0.mp4"]
    doubts = {
        (row["key"], row["reason"])
        for row in corpus.report["rows"]
        if "overlaps" not in row["reason"]
    }
    assert doubts == {
        ("val/dia0_utt0", "no clip"),
        ("test/dia0_utt1", "empty clip (0 bytes)"),
    }
    assert "| AppleDouble files skipped | 1 | 0 | 1 |" in render_report(corpus.report)


def test_unpacking_clips_later_changes_no_digest(meld_like: Write) -> None:
    root = meld_like()
    before = load_corpus(root).digest
    touch(root / "train_splits" / "dia0_utt0.mp4")
    assert load_corpus(root).digest == before


@pytest.mark.parametrize(
    ("old", "new"),
    few(
        [
            ("Hello", "Hallo"),
            ("Ada", "Bruno"),
            ("joy", "fear"),
            ("positive", "negative"),
            ("02,500", "02,501"),
            ("0,0,1,2", "1,0,1,2"),
            ("0,0,1,2", "0,1,1,2"),
        ],
        3,
    ),
)
def test_the_digest_covers_what_a_result_depends_on(meld_like: Write, old: str, new: str) -> None:
    before = load_corpus(meld_like()).digest
    assert load_corpus(meld_like(test=HEADER + ROW.replace(old, new, 1))).digest != before


def test_legacy_characters_are_repaired_one_at_a_time(meld_like: Write) -> None:
    text = "\u2019tis caf\u00e9\u0085 don\u0092t \u0093x\u0094 \u0081"
    corpus = load_corpus(meld_like(train=HEADER + ROW.replace("Hello", text) + NEXT))
    assert corpus.table["text"].tolist()[:2] == [
        "\u2019tis caf\u00e9\u2026 don\u2019t \u201cx\u201d \u0081",
        "Well",
    ]
    assert corpus.report["quirks"]["repaired_rows"] == {"train": 1, "val": 0, "test": 0}
    assert [row["key"] for row in corpus.report["rows"] if "control" in row["reason"]] == [
        "train/dia0_utt0"
    ]


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("00:16:16,059", 976.059),
        ("0:10:44,769", 644.769),
        ("00:06:47,28", 407.28),
        ("1:02:03.5", 3723.5),
    ],
)
def test_times_in_every_form_that_meld_has(meld_like: Write, time: str, seconds: float) -> None:
    """Three rows of MELD end in two decimals; their clips are as long as those decimals say, not as
    milliseconds."""
    train = HEADER + ROW.replace("00:00:02,500", time)
    assert load_corpus(meld_like(train=train)).table["end_s"].iloc[0] == pytest.approx(
        seconds, abs=1e-9
    )


def test_quoted_line_ends_commas_and_a_mark_at_the_start(meld_like: Write) -> None:
    train = (
        "\ufeff"
        + HEADER.replace("\r", "")
        + ROW.replace("\r", "").replace("Hello", '"So, ""yes""\nno"')
        + "\n"
    )
    assert load_corpus(meld_like(train=train)).table["text"].iloc[0] == 'So, "yes"\nno'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (HEADER, "no rows after the header"),
        (
            HEADER.replace("Emotion", "Emotions") + ROW,
            "no column 'Emotion' (did you mean 'Emotions'?); columns found: Sr No.",
        ),
        (HEADER + ROW + NEXT[:30], "row 3: 6 fields where 11 were expected"),
        (HEADER + ROW + NEXT[:-6], "row 3: not valid CSV (unexpected end of data)"),
        (HEADER.encode() + ROW.encode() + b"2,We\0\0\0", "row 3: contains NUL bytes"),
        (
            HEADER.encode() + ROW.encode() + NEXT.encode().replace(b"Well", b"It\x81s"),
            "row 3: byte 0x81 is not UTF-8",
        ),
        (
            HEADER + ROW + NEXT.replace("neutral", "nuetral", 1),
            "row 3: Emotion 'nuetral' is unknown (did you mean 'neutral'?)",
        ),
        (
            HEADER + ROW + NEXT.replace(",neutral,0", ",mixed,0", 1),
            "row 3: Sentiment 'mixed' is unknown; expected one of",
        ),
        (
            HEADER + ROW + NEXT.replace("0:10:44,769", "10.44"),
            "row 3: StartTime '10.44' is not a time like",
        ),
        (
            HEADER + ROW + NEXT.replace("0,1,1,2", "0,one,1,2"),
            "row 3: Utterance_ID 'one' is not a whole number",
        ),
        (
            HEADER + ROW + NEXT.replace("0,1,1,2", "0,0,1,2"),
            "row 3: dialogue 0, utterance 0 is already in row 2",
        ),
        (
            "<!DOCTYPE html>\n<html></html>\n",
            "no column 'Utterance'; columns found: <!DOCTYPE html>; it is not the file that MELD's"
            " authors publish: get that with meld-lightning fetch clips=false, or ",
        ),
    ],
)
def test_a_broken_file_is_named_in_one_line(
    meld_like: Write, content: str | bytes, message: str
) -> None:
    with pytest.raises(UserError) as error:
        load_corpus(meld_like(test=content))
    assert message in str(error.value)
    assert "test_sent_emo.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_folder_says_what_was_looked_for_and_found(
    meld_like: Write, tmp_path: Path
) -> None:
    def message(root: Path) -> str:
        with pytest.raises(UserError) as error:
            load_corpus(root)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "no such folder" in message(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "looked for train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv" in message(
        tmp_path / "empty"
    )
    assert "found no file at all" in message(tmp_path / "empty")
    touch(tmp_path / "other" / "notes.txt")
    assert "found 1 other files instead (notes.txt)" in message(tmp_path / "other")
    touch(tmp_path / "packed" / "MELD.Raw.tar.gz")
    assert "found the archive MELD.Raw.tar.gz: unpack it" in message(tmp_path / "packed")
    assert "is a file" in message(tmp_path / "packed" / "MELD.Raw.tar.gz")
    root = meld_like()
    (root / "dev_sent_emo.csv").unlink()
    assert "looked for dev_sent_emo.csv" in message(root)
    assert "only train_sent_emo.csv, test_sent_emo.csv was found" in message(root)


def test_options_of_the_other_layout_are_refused(meld_like: Write) -> None:
    with pytest.raises(UserError, match="apply to corpus=manifest only"):
        load_corpus(meld_like(), split="speaker")
    with pytest.raises(UserError, match=r"'mold' is unknown \(did you mean 'meld'\?\)"):
        load_corpus(meld_like(), layout="mold")


def test_a_file_truncated_at_the_end_of_a_row_is_told(meld_like: Write, tmp_path: Path) -> None:
    root = meld_like(train=HEADER + ROW + NEXT)
    said = "not the published corpus: train has 2 rows instead of 9989"
    assert said in render_report(load_corpus(root).report)
    asked = ["study=meld_minilm", f"corpus.root={root}"]
    prepared = call(["prepare", *asked], tmp_path)
    assert f"warning: corpus meld: This is {said}" in prepared.stdout
    [line] = [
        line
        for line in call(["doctor", *asked, "measure_s=0"], tmp_path).stdout.splitlines()
        if "  corpus: " in line
    ]
    assert line.startswith("note")
    assert said in line


def test_labels_by_target(meld_like: Write) -> None:
    corpus = load_corpus(meld_like())
    assert corpus.labels("sentiment") == ("neutral", "positive", "negative")
    with pytest.raises(UserError, match="choose emotion or sentiment"):
        corpus.labels("mood")

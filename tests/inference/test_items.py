"""What a user names becomes a table of items, or one line that says what is wrong."""

import logging
from pathlib import Path

import pandas as pd
import pytest

from meld_lightning.errors import UserError
from meld_lightning.inference.items.table import COLUMNS, read_items


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"clip")
    return folder


def table(folder: Path, content: str | bytes, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(*arguments: object) -> str:
    with pytest.raises(UserError) as error:
        read_items(*arguments)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_clip_with_its_text(tmp_path: Path) -> None:
    clip = touched(tmp_path, "my clip (2).mov") / "my clip (2).mov"
    [row] = read_items(clip, "Oh, no! I don't know").to_dict("records")
    assert (row["id"], row["clip"], row["text"]) == (clip.name, str(clip), "Oh, no! I don't know")
    assert row["audio"] is None
    assert row["speaker"] is None
    assert pd.isna(row["start"])
    assert pd.isna(row["end"])


def test_texts_alone_are_items() -> None:
    items = read_items(texts=["Yes.", "Ame\u0301lie!"])
    assert tuple(items.columns) == COLUMNS
    assert items["id"].tolist() == ["text 1", "text 2"]
    assert items["text"].tolist() == ["Yes.", "Am\u00e9lie!"]
    assert items["clip"].tolist() == [None, None]
    assert read_items(texts="Yes.")["id"].tolist() == ["text"]


def test_a_folder_is_searched_at_any_depth_without_hidden_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("b.MP4", "a/z.wav", "a/._z.mp4", ".hidden/c.mp4", "notes.md", "a/b.mkv")
    with caplog.at_level(logging.INFO, "meld_lightning"):
        items = read_items(touched(tmp_path, *names))
    assert items["id"].tolist() == ["a/b.mkv", "a/z.wav", "b.MP4"]
    assert items["clip"].tolist() == [str(tmp_path / name) for name in items["id"]]
    assert "1 other files left out (.md)" in caplog.text


def test_items_keep_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    folder = touched(tmp_path, "one/x.mp4", "two/x.mp4", "y.mp4")
    rows = table(tmp_path, "id,text\nq,Hm.\n")
    items = read_items([folder / "y.mp4", rows, folder / "two", folder / "one/x.mp4"])
    assert items["id"].tolist() == [
        "y.mp4",
        "q",
        str(folder / "two/x.mp4"),
        str(folder / "one/x.mp4"),
    ]


@pytest.mark.parametrize("name", ["mine.csv", "mine.parquet"])
def test_a_table_without_labels(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    touched(tmp_path, "clips/a.mp4", "clips/a.wav")
    rows = pd.DataFrame(
        {
            "id": ["a", "b"],
            "clip": ["clips/a.mp4", "gone.mp4"],
            "audio": ["clips/a.wav", None],
            "text": ["Oh, no!", ""],
            "speaker": ["Zoë", None],
            "dialogue": [7, 7],
            "emotion": ["joy", "joy"],
        }
    )
    path = tmp_path / name
    rows.to_csv(path, index=False) if path.suffix == ".csv" else rows.to_parquet(path)
    with caplog.at_level(logging.INFO, "meld_lightning"):
        items = read_items(path)
    assert items["clip"].tolist() == [str(tmp_path / "clips/a.mp4"), str(tmp_path / "gone.mp4")]
    assert items["audio"].tolist() == [str(tmp_path / "clips/a.wav"), None]
    assert items["text"].tolist() == ["Oh, no!", None]
    assert items["speaker"].tolist() == ["Zoë", None]
    assert items["dialogue"].tolist() == ["7", "7"]
    assert "not used: emotion" in caplog.text
    assert "1 of 3 files cannot be read, such as gone.mp4 (file not found)" in caplog.text


def test_a_spreadsheet_of_another_language_and_no_ids(tmp_path: Path) -> None:
    path = table(tmp_path, "text;speaker\r\nun été;A\r\n\r\n“sì”, no;B\r\n".encode("cp1252"))
    items = read_items(path)
    assert items["text"].tolist() == ["un été", "“sì”, no"]
    assert items["id"].tolist() == ["row 2", "row 4"]


def test_names_of_another_encoding_become_valid_ids(tmp_path: Path) -> None:
    odd = b"caf\xe9.mp4".decode("utf-8", "surrogateescape")
    items = read_items(touched(tmp_path, odd))
    assert items["id"].tolist() == ["caf\ufffd.mp4"]
    assert items["clip"].tolist() == [str(tmp_path / odd)]


def test_nothing_or_a_wrong_file_is_one_line(tmp_path: Path) -> None:
    touched(tmp_path, "clips/one.mp4", "two.mp4", "none/readme.md")
    (tmp_path / "empty").mkdir()
    assert "nothing to predict" in refused()
    assert "an empty path" in refused([""])
    assert "no such file (did you mean 'two.mp4'?)" in refused(tmp_path / "tow.mp4")
    assert "is an address; download" in refused("https://example.org/a.mp4")
    assert "contains no clips (no files)" in refused(tmp_path / "empty")
    assert "contains no clips (1 other files)" in refused(tmp_path / "none")
    assert "named twice" in refused([tmp_path / "two.mp4", tmp_path / "clips/../two.mp4"])
    (tmp_path / "link.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert "broken link" in refused(tmp_path / "link.mp4")


def test_texts_that_fit_no_clip_are_refused(tmp_path: Path) -> None:
    touched(tmp_path, "one.mp4", "two.mp4")
    assert "2 texts for 1 clips" in refused(tmp_path / "one.mp4", ["a", "b"])
    assert "1 texts for 2 clips" in refused([tmp_path / "one.mp4", tmp_path / "two.mp4"], "a")
    assert "is a folder, and text= belongs to a clip" in refused(tmp_path, "a")
    assert "is a table" in refused(table(tmp_path, "text\nHm.\n"), "a")


def test_texts_that_no_model_reads_are_refused(tmp_path: Path) -> None:
    assert "text=: 200,000 characters, expected one utterance of at most 100,000" in refused(
        (), "x" * 200_000
    )
    assert "text 2: is empty" in refused((), ["a", " \u200b"])
    assert "not valid Unicode" in refused((), "caf\udce9")
    assert "row 3, text: 100,001 characters" in refused(
        table(tmp_path, f"id,text\na,b\nc,{'x' * 100_001}\n")
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file is empty, expected a header and one row"),
        ("\x11\n", "no column has a name, expected a header"),
        ("id,text\n", "no rows after the header"),
        ("id,txt\na,b\n", "no column clip, audio or text (did you mean 'txt'?); columns found: id"),
        ("id,text\na,b\na,c\n", "row 3: id 'a' is already in row 2"),
        ("id,text\na,b\n,c\n", "row 3: id is empty"),
        ('id,text\na,"b\n', "not valid CSV"),
        (b"PK\x03\x04\0\0", "is an Excel or OpenDocument workbook"),
        ("id,clip\na,x.mp4\nb,y.mp4\n", "none of the 2 files that it names can be read, such as x"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert said in refused(table(tmp_path, content))


def test_a_damaged_parquet_file_is_one_line(tmp_path: Path) -> None:
    assert "not a readable Parquet file" in refused(table(tmp_path, b"PAR1", "mine.parquet"))


def test_items_of_two_tables_with_one_id_are_refused(tmp_path: Path) -> None:
    one, two = (table(tmp_path, "id,text\na,b\n", name) for name in ("1.csv", "2.csv"))
    assert "two items have the id 'a'" in refused([one, two])

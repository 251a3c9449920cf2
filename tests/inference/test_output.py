"""Answers as JSON and CSV for programs, and as a table with bars for people."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from meld_lightning.errors import UserError
from meld_lightning.inference.answers.output import as_csv, as_json, as_json_lines, write_answers
from meld_lightning.inference.answers.terminal import Style, answer_text, columns, show_answers
from tests.inference.answered import LABELS, answer, answers


def test_json_holds_every_label_share_and_reason() -> None:
    document = json.loads(as_json(answers(), {"model": "text, audio and video"}))
    first, second = document.pop("items")
    assert document == {
        "format": "meld-lightning predictions",
        "version": 1,
        "labels": list(LABELS),
        "modalities": ["text", "audio", "video"],
        "model": "text, audio and video",
    }
    assert first["id"] == "my clip (2).mov"
    assert (first["emotion"], first["confidence"], first["abstained"]) == ("joy", 0.625, False)
    assert first["probabilities"] == {"neutral": 0.125, "joy": 0.625, "anger": 0.25}
    assert first["shares"] == {"text": 0.75, "audio": 0.25, "video": None}
    assert first["used"] == ["text", "audio"]
    assert first["missing"] == {"video": "no video track"}
    assert (first["start"], first["end"]) == (None, None)
    assert second["abstained"] is True
    assert second["missing"] == {}
    assert "set" not in first


def test_json_lines_hold_the_same_items_one_a_line() -> None:
    asked = answers().assign(set=[("joy", "anger"), ()], text=["Oh!", None], start=1.5)
    lines = [json.loads(line) for line in as_json_lines(asked).splitlines()]
    assert lines == json.loads(as_json(asked))["items"]
    assert [(one["set"], one["text"]) for one in lines] == [(["joy", "anger"], "Oh!"), ([], None)]
    assert lines[0]["start"] == 1.5


def test_csv_comes_back_as_it_was() -> None:
    back = pd.read_csv(io.StringIO(as_csv(answers().assign(set=[("joy", "anger"), ("joy",)]))))
    assert back["id"].tolist() == answers()["id"].tolist()
    assert back["p.joy"].tolist() == [0.625, 0.25]
    assert back["used"].tolist() == ["text audio", "text audio video"]
    assert back["set"].tolist() == ["joy anger", "joy"]
    assert back["missing"][0] == "video: no video track"
    assert back[["share.video", "missing"]].isna().to_numpy().tolist() == [
        [True, False],
        [False, True],
    ]


@pytest.mark.parametrize("name", ["out.json", "out.JSONL", "out.csv"])
def test_the_name_of_the_file_gives_its_format(tmp_path: Path, name: str) -> None:
    written = {"out.json": as_json, "out.JSONL": as_json_lines, "out.csv": as_csv}[name](answers())
    write_answers(tmp_path / name, answers())
    assert (tmp_path / name).read_text() == written
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_files_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for name, said in (
        ("out.xlsx", "unknown format; give a name that ends in .json, .jsonl, .csv"),
        ("folder.csv", "is a folder"),
        ("none/out.csv", "no such folder"),
    ):
        with pytest.raises(UserError, match=said) as error:
            write_answers(tmp_path / name, answers())
        assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]


def test_one_item_is_shown_with_all_its_labels() -> None:
    lines = answer_text(answers()[:1], Style(60)).splitlines()
    assert lines[0] == "my clip (2).mov"
    assert [line.split()[0] for line in lines[2:5]] == ["joy", "anger", "neutral"]
    assert [line.split()[-1] for line in lines[2:5]] == ["62.5%", "25.0%", "12.5%"]
    lengths = [line.count("█") for line in lines[2:5]]
    assert lengths[0] > lengths[1] > lengths[2] > 0
    text = " ".join(" ".join(lines).split())
    assert "joy, confidence 62.5%, entropy 1.30 of at most 1.58 bits" in text
    assert "decided by: text 75%, audio 25%" in text
    assert "missing: video (no video track)" in text
    assert "3 labels: neutral, joy, anger" in text


def test_many_labels_are_added_up() -> None:
    row = answer("a", 0.5, 0.2, 0.1) | {f"p.l{n:02d}": 0.01 for n in range(20)}
    text = answer_text(pd.DataFrame([row]), Style())
    assert [line.split()[-1] for line in text.splitlines() if "13 others" in line] == ["13.0%"]
    assert "23 labels: neutral, joy, anger, l00" in text


def test_several_items_take_a_line_each_with_abstentions_and_what_is_missing() -> None:
    text = answer_text(answers(), Style(90))
    head, first, second = text.splitlines()[:3]
    assert head.split() == ["item", "emotion", "text", "audio", "video"]
    assert first.split()[-5:] == ["█" * 15, "62%", "75%", "25%", "-"]
    assert second.split()[:3] == ["日本語の録画.mp4", "?", "neutral"]
    assert "2 items: joy 1" in text
    assert "? abstained, too uncertain: 1" in text
    assert "- missing: video in 1 (no video track)" in text


def test_an_answer_that_no_modality_gave_and_an_abstention_say_so() -> None:
    alone = {"used": (), "missing": {"text": "no text"}, "abstained": True}
    text = answer_text(pd.DataFrame([answer("a", 0.5, 0.25, 0.25, **alone)]), Style())
    assert "decided by: no modality, the prior alone" in text
    assert "abstained: nothing could be read; most probable is neutral, confidence 50.0%" in text
    unsure = answer("b", 0.5, 0.25, 0.25, abstained=True)
    text = answer_text(pd.DataFrame([unsure]), Style())
    assert "abstained: too uncertain; most probable is neutral" in text
    text = answer_text(pd.DataFrame([unsure, answer("a", 0.5, 0.25, 0.25, **alone)]), Style())
    assert "? abstained, too uncertain: 1\n? abstained, nothing could be read: 1" in text


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("blocks", [True, False])
def test_every_line_fits_the_terminal(width: int, count: int, blocks: bool) -> None:
    table = answers()[:count].assign(text="She said that, " * 9)
    table["id"] = [f"{one} {'long ' * 30}日.mp4" for one in table["id"]]
    text = answer_text(table, Style(width, blocks))
    assert max(columns(line) for line in text.splitlines()) <= width
    assert "mp4" in text  # a name keeps its end


def test_without_a_terminal_there_are_no_colours_and_plain_encodings_get_plain_bars() -> None:
    utf8, latin = (io.TextIOWrapper(io.BytesIO(), encoding=name) for name in ("utf-8", "latin-1"))
    for stream in (utf8, latin):
        show_answers(answers(), stream)
        stream.seek(0)
    plain, pretty = latin.read(), utf8.read()
    assert "\033[" not in plain + pretty
    assert "###" in plain
    assert "??????.mp4" in plain
    assert "█" in pretty


def test_a_terminal_gets_bold_text_unless_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "44")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    bold, plain = Terminal(), Terminal()
    show_answers(answers(), bold)
    monkeypatch.setenv("NO_COLOR", "1")
    show_answers(answers(), plain)
    assert "\033[" in bold.getvalue()
    assert "\033[" not in plain.getvalue()
    assert max(columns(line) for line in plain.getvalue().splitlines()) <= 44


def test_wide_characters_take_two_columns_and_combining_marks_none() -> None:
    assert [columns(text) for text in ("abc", "日本", "e\u0301")] == [3, 4, 1]


def test_names_cannot_steer_the_terminal() -> None:
    text = answer_text(pd.DataFrame([answer("a\033[2J\nb.mp4", 0.5, 0.25, 0.25)]), Style())
    assert "\033" not in text
    assert text.splitlines()[0] == "a\ufffd[2J\ufffdb.mp4"

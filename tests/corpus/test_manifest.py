"""The user's own manifest: columns, splits by whole units, and one-line errors."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from meld_lightning.corpus import load_corpus
from meld_lightning.errors import UserError


def manifest(
    tmp_path: Path, rows: list[dict[str, Any]] | pd.DataFrame, name: str = "mine.csv"
) -> Path:
    path = tmp_path / name
    table = pd.DataFrame(rows)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)
    return path


def speech(count: int = 60, speakers: int = 7) -> list[dict[str, Any]]:
    """Rows of unequal speakers and dialogues: speaker s has more rows the smaller s is."""
    return [
        {
            "id": f"u{number:03d}",
            "text": f"text {number}",
            "emotion": ("calm", "joy", "anger")[number % 3],
            "speaker": f"s{min(number % speakers, (number * 5) % speakers)}",
            "dialogue": f"d{number // 4}",
        }
        for number in range(count)
    ]


def test_a_manifest_with_splits_keeps_ids_labels_and_columns(tmp_path: Path) -> None:
    rows = [
        {
            "id": "b",
            "split": "dev",
            "text": "It\u0092s",
            "emotion": "zest",
            "clip": "clips/b.mp4",
            "start": "0:00:01,500",
            "mood": 1,
        },
        {
            "id": "a",
            "split": "Train",
            "text": "one",
            "emotion": "joy",
            "clip": "",
            "start": "2.25",
            "mood": 2,
        },
        {
            "id": "c",
            "split": "test",
            "text": "two",
            "emotion": "calm",
            "clip": "clips/c.mp4",
            "start": "",
            "mood": 3,
        },
    ]
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "b.mp4").write_bytes(b"clip")
    corpus = load_corpus(manifest(tmp_path, rows), layout="manifest")
    table = corpus.table
    assert table["key"].tolist() == ["b", "a", "c"]
    assert table["split"].tolist() == ["val", "train", "test"]
    assert table["text"].iloc[0] == "It\u2019s"
    assert corpus.emotions == ("joy", "calm", "zest")
    assert corpus.sentiments == ()
    assert table["clip"].tolist() == [str(tmp_path / "clips" / "b.mp4"), None, None]
    assert table["start_s"].tolist()[:2] == [1.5, 2.25]
    assert table["start_s"].isna().iloc[2]
    assert table["speaker"].tolist() == [None] * 3
    assert table["unit"].tolist() == ["b", "a", "c"]
    assert corpus.name == "mine"
    report = corpus.report
    assert report["table_01"] == {
        "paper": None,
        "official": None,
        "found": {"train": 1, "val": 1, "test": 1},
    }
    assert report["ignored_columns"] == ["mood"]
    assert {
        "key": "c",
        "reason": "file not found",
        "detail": "clip clips/c.mp4",
        "dropped": False,
    } in report["rows"]
    assert report["quirks"]["emotion_not_in_train"] == {"train": 0, "val": 1, "test": 1}
    with pytest.raises(UserError, match="has no sentiment labels"):
        corpus.labels("sentiment")


@pytest.mark.parametrize("name", ["val", "dev", "valid", "validation", "Dev"])
def test_every_usual_name_of_val(tmp_path: Path, name: str) -> None:
    rows = [
        {"id": split, "text": "x", "emotion": "a", "split": split}
        for split in ("train", name, "test")
    ]
    table = load_corpus(manifest(tmp_path, rows), layout="manifest").table
    assert table["split"].tolist() == ["train", "val", "test"]


def test_csv_and_parquet_are_the_same_corpus(tmp_path: Path) -> None:
    rows = pd.DataFrame(speech()).assign(
        utterance=lambda table: table.index % 4, start=1.5, end=2.0
    )
    rows["sentiment"] = rows["emotion"].map(
        {"joy": "positive", "calm": "neutral", "anger": "negative"}
    )
    csv = load_corpus(manifest(tmp_path, rows), layout="manifest", split="dialogue")
    parquet = load_corpus(
        manifest(tmp_path, rows, "mine.parquet"), layout="manifest", split="dialogue"
    )
    pd.testing.assert_frame_equal(csv.table, parquet.table)
    assert csv.digest == parquet.digest
    assert csv.sentiments == ("neutral", "positive", "negative")
    assert csv.table["utterance_id"].tolist()[:5] == [0, 1, 2, 3, 0]


@pytest.mark.parametrize(
    ("split", "column"), [("speaker", "speaker"), ("dialogue", "dialogue"), ("row", "id")]
)
def test_no_unit_is_in_two_parts_and_each_is_tested_once(
    tmp_path: Path, split: str, column: str
) -> None:
    rows = pd.DataFrame(speech())
    path, units = manifest(tmp_path, rows), rows[column]
    tested: list[str] = []
    validated: list[list[str]] = []
    for fold in range(4):
        table = load_corpus(path, layout="manifest", split=split, folds=4, fold=fold).table
        parts = {
            part: sorted(set(units[table["split"] == part])) for part in ("train", "val", "test")
        }
        assert sum(len(part) for part in parts.values()) == units.nunique()
        tested += parts["test"]
        validated.append(parts["val"])
        if fold:
            assert parts["test"] == validated[fold - 1]
        sizes = [int((table["split"] == part).sum()) for part in ("val", "test")]
        largest = units.value_counts().max()
        assert all(abs(size - len(rows) / 4) <= largest for size in sizes)
    assert sorted(tested) == sorted(units.unique())


def test_folds_are_balanced_however_unequal_the_units(tmp_path: Path) -> None:
    """One unit of 20 rows and 40 of one row: three folds of 20."""
    rows = [
        {"id": f"u{n}", "text": "x", "emotion": "a", "speaker": "big" if n < 20 else f"s{n}"}
        for n in range(60)
    ]
    table = load_corpus(manifest(tmp_path, rows), layout="manifest", split="speaker", folds=3).table
    assert table["split"].value_counts().to_dict() == {"train": 20, "val": 20, "test": 20}


def test_the_split_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    rows = pd.DataFrame(speech())
    first = load_corpus(manifest(tmp_path, rows), layout="manifest", split="dialogue").table
    mixed = manifest(tmp_path, rows.sample(frac=1, random_state=3), "mixed.csv")
    second = load_corpus(mixed, layout="manifest", split="dialogue").table
    assert dict(zip(first["key"], first["split"], strict=True)) == dict(
        zip(second["key"], second["split"], strict=True)
    )


def test_split_by_row_mixes_labels_that_cycle_with_the_ids(tmp_path: Path) -> None:
    rows = [
        {"id": f"u{number:03d}", "text": "x", "emotion": f"e{number % 5}"} for number in range(200)
    ]
    table = load_corpus(manifest(tmp_path, rows), layout="manifest", split="row").table
    assert table[table["split"] == "test"]["emotion"].nunique() == 5


def _changed(**columns: Any) -> list[dict[str, Any]]:
    return [
        {**row, **{name: value for name, value in columns.items() if number == 1}}
        for number, row in enumerate(speech(9))
    ]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (
            [{"id": "a", "emotion": "joy"}],
            {"split": "row"},
            "no column 'text'; columns found: id, emotion",
        ),
        (speech(), {}, "no column 'split' and no corpus.split"),
        (speech(), {"split": "speeker"}, "corpus.split 'speeker' is unknown"),
        (
            [{"id": "a", "text": "x", "emotion": "joy"}],
            {"split": "speaker"},
            "needs a column 'speaker'",
        ),
        (speech(speakers=3), {"split": "speaker"}, "corpus.folds=5: there are only 3 units"),
        (speech(), {"split": "row", "folds": 2}, "corpus.folds=2: expected at least 3"),
        (
            speech(),
            {"split": "row", "fold": 5},
            "corpus.fold=5: expected 0 to 4 with corpus.folds=5",
        ),
        ([{**row, "split": "train"} for row in speech()], {"split": "row"}, "remove one of them"),
        ([{**row, "split": "train"} for row in speech()], {}, "no row has split val"),
        (
            [{**row, "split": "tset"} for row in speech()],
            {},
            "row 2: split 'tset' is unknown (did you mean 'test'?)",
        ),
        (_changed(id="u000"), {"split": "row"}, "row 3: id 'u000' is already in row 2"),
        (_changed(emotion=""), {"split": "row"}, "row 3: emotion is empty"),
        (_changed(speaker=""), {"split": "speaker", "folds": 3}, "row 3: speaker is empty"),
        (
            _changed(emotion="Joy"),
            {"split": "row"},
            "row 6: emotion 'joy' and 'Joy' (row 3) differ only in case",
        ),
        (
            _changed(start="soon"),
            {"split": "row"},
            "row 3: start 'soon' is neither seconds nor a time",
        ),
        (_changed(utterance="x"), {"split": "row"}, "row 3: utterance 'x' is not a whole number"),
    ],
)
def test_errors_name_file_and_row(
    tmp_path: Path, rows: list[dict[str, Any]], options: dict[str, Any], message: str
) -> None:
    path = manifest(tmp_path, rows)
    with pytest.raises(UserError) as error:
        load_corpus(path, layout="manifest", **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_corpus(tmp_path / "absent.csv", layout="manifest")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        load_corpus(tmp_path / "broken.parquet", layout="manifest")


def test_a_second_manifest_is_test_and_shares_no_unit_with_the_first(tmp_path: Path) -> None:
    path = manifest(tmp_path, speech())
    mine = [
        {"id": f"mine{n}", "text": "t", "emotion": "joy", "speaker": speaker}
        for n, speaker in enumerate("xy")
    ]
    shared = {"id": "mine2", "text": "t", "emotion": "calm", "speaker": "s1"}
    (tmp_path / "other").mkdir()
    other = manifest(tmp_path, [*mine, shared], "other/clips.csv")
    corpus = load_corpus(
        path, layout="manifest", split="speaker", folds=3, fold=1, test="other/clips.csv"
    )
    table = corpus.table
    assert table.loc[table["split"] == "test", "key"].tolist() == ["mine0", "mine1", "mine2"]
    speakers = {split: set(rows["speaker"]) for split, rows in table.groupby("split")}
    assert speakers["test"] == {"x", "y", "s1"}
    assert not speakers["train"] & speakers["val"]
    left_out = sum(row["speaker"] == "s1" for row in speech())
    assert left_out > 0
    assert len(table) == 60 - left_out + 3
    assert corpus.report["quirks"]["left_out_for_test"] == {"train": left_out}
    assert [source["name"] for source in corpus.report["sources"]] == [
        "mine.csv",
        "other/clips.csv",
    ]
    again = load_corpus(path, layout="manifest", split="speaker", folds=3, fold=1, test=other)
    assert again.digest == corpus.digest


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"test": "none.csv"},
            "none.csv: no such file; give the CSV or Parquet file as corpus.test",
        ),
        ({"split": None}, "with corpus.test, set corpus.split to the unit"),
        ({"folds": 1}, "train and val need 2"),
        ({"folds": 99}, "corpus.folds=99: there are only"),
    ],
)
def test_a_wrong_second_manifest_is_refused(
    changed: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = manifest(tmp_path, speech())
    manifest(tmp_path, [{"id": "mine", "text": "t", "emotion": "joy", "speaker": "x"}], "clips.csv")
    with pytest.raises(UserError, match=said):
        load_corpus(
            path,
            layout="manifest",
            **{"split": "speaker", "test": "clips.csv", "folds": 3, **changed},
        )

"""The user's own manifest: columns, labels, and one-line errors."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from meld_lightning.corpus import check_learnable, load_corpus
from meld_lightning.errors import UserError
from tests.corpus.manifests import manifest, speech


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
    } in report["rows"]
    assert report["quirks"]["emotion_not_in_train"] == {"train": 0, "val": 1, "test": 1}
    with pytest.raises(UserError, match="has no sentiment labels"):
        corpus.labels("sentiment")


def test_a_single_emotion_is_refused_unless_there_are_sentiments(tmp_path: Path) -> None:
    rows = [{**row, "emotion": "joy"} for row in speech()]
    corpus = load_corpus(manifest(tmp_path, rows), "manifest", split="row")
    with pytest.raises(UserError, match=r"the corpus has one emotion only \(joy\); a classifier"):
        check_learnable(corpus)
    rows = [
        {**row, "sentiment": ("neutral", "positive")[number % 2]} for number, row in enumerate(rows)
    ]
    corpus = load_corpus(manifest(tmp_path, rows), "manifest", split="row")
    assert check_learnable(corpus) is None
    with pytest.raises(UserError, match="one emotion only"):
        corpus.labels("emotion")


def test_labels_that_train_lacks_are_one_warning(tmp_path: Path) -> None:
    splits = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    rows = [{**row, "split": split} for row, split in zip(speech(), splits, strict=True)]
    corpus = load_corpus(manifest(tmp_path, rows), "manifest", name="mine")
    assert check_learnable(corpus) is None
    for number, emotion in ((45, "fear"), (55, "fear"), (56, "bored")):
        rows[number]["emotion"] = emotion
    line = check_learnable(load_corpus(manifest(tmp_path, rows), "manifest", name="mine"))
    assert line is not None
    assert line.endswith("can learn them: emotion fear (2 rows), emotion bored (1 row)")


@pytest.mark.parametrize("name", ["val", "dev", "valid", "validation", "Dev"])
def test_every_usual_name_of_val(tmp_path: Path, name: str) -> None:
    rows = [
        {"id": split, "text": "x", "emotion": "a", "split": split}
        for split in ("train", name, "test")
    ]
    table = load_corpus(manifest(tmp_path, rows), layout="manifest").table
    assert table["split"].tolist() == ["train", "val", "test"]


@pytest.mark.slow
def test_parquet_with_an_index_or_bytes_is_the_same_corpus(tmp_path: Path) -> None:
    table = pd.DataFrame(speech())
    plain = load_corpus(manifest(tmp_path, table), layout="manifest", split="dialogue")
    path = tmp_path / "mine.parquet"
    for other in (
        table.set_index("id"),
        table.assign(text=table["text"].str.encode("utf-8")),
        table.assign(emotion=table["emotion"].astype("category")),
    ):
        other.to_parquet(path)
        assert load_corpus(path, layout="manifest", split="dialogue").digest == plain.digest
    for wrong in (["a", "b"], b"\xff"):
        table.assign(text=[wrong] * len(table)).to_parquet(path)
        with pytest.raises(UserError, match="mine.parquet, row 2: text is no text or number"):
            load_corpus(path, layout="manifest", split="dialogue")


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
        (speech(), {}, 'speaker, dialogue or row (from Python: split="dialogue")'),
        (speech(), {"split": "speeker"}, "corpus.split 'speeker' is unknown"),
        (
            [{"id": "a", "text": "x", "emotion": "joy"}],
            {"split": "speaker"},
            "needs a column 'speaker'",
        ),
        (speech(speakers=3), {"split": "speaker"}, "corpus.folds=5: the rows form only"),
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


def test_files_that_are_not_manifests(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_corpus(tmp_path / "absent.csv", layout="manifest")
    with pytest.raises(UserError, match="is a folder; give the CSV or Parquet file as corpus.root"):
        load_corpus(tmp_path, layout="manifest")
    path = manifest(tmp_path, speech())
    with pytest.raises(UserError, match=r'load_corpus\("mine.csv", layout="manifest"\)'):
        load_corpus(path)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        load_corpus(tmp_path / "broken.parquet", layout="manifest")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty, expected a header with id, text, emotion and one row per"),
        ("\ufeff \n", "the file is empty, expected a header with"),
        ("id,text,emotion\n", "no rows after the header, expected one row per utterance"),
        ("id;words;emotion\n1;a;joy\n", "no column 'text'; columns found: id, words, emotion"),
    ],
)
def test_a_file_without_the_columns_or_rows(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_corpus(tmp_path / "mine.csv", layout="manifest")
    assert str(error.value).startswith(f"{tmp_path / 'mine.csv'}: {message}")

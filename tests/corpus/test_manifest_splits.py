"""Splits of a manifest: whole units, balanced folds, and a second manifest as test."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from meld_lightning.corpus import load_corpus
from meld_lightning.corpus.table import DIGESTED
from meld_lightning.errors import UserError
from meld_lightning.storage.fingerprint import bytes_digest
from tests.corpus.manifests import manifest, speech


@pytest.mark.slow
@pytest.mark.parametrize(
    ("split", "column"), [("speaker", "speaker"), ("dialogue", "dialogue"), ("row", "id")]
)
def test_no_unit_is_divided_and_each_is_test_once(tmp_path: Path, split: str, column: str) -> None:
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
    ("split", "shared"),
    [
        ("speaker", ["test shares 1 of its 2 dialogues with train and val"]),
        ("dialogue", ["test shares 1 of its 2 speakers with train and val"]),
        (
            "row",
            [
                "test shares 1 of its 2 speakers with train and val",
                "test shares 1 of its 2 dialogues with train and val",
            ],
        ),
    ],
)
def test_what_test_shares_with_the_rest_besides_its_units_is_said(
    split: str, shared: list[str], tmp_path: Path
) -> None:
    path, common = manifest(tmp_path, speech()), speech()[5]
    mine = [
        common | {"id": "mine1"},
        common | {"id": "mine2", "speaker": "x", "dialogue": "y"},
    ]
    manifest(tmp_path, mine, "clips.csv")
    corpus = load_corpus(path, layout="manifest", split=split, folds=3, test="clips.csv")
    kept = corpus.table[corpus.table["split"] != "test"]
    if split != "row":
        column = {"speaker": "speaker", "dialogue": "dialogue_id"}[split]
        assert common[split] not in set(kept[column])
    said = corpus.report["assumed"]
    assert [line.partition(":")[0] for line in said] == shared
    assert f"corpus.split={split} keeps {split}s apart, not" in said[0]


@pytest.mark.parametrize(("test_by", "folds"), [("text", 2), ("row", 3)])
def test_a_second_manifest_can_be_divided_into_folds(
    test_by: str, folds: int, tmp_path: Path
) -> None:
    """One fold is test and one is val; others are train, as are the first manifest's rows but those
    of the second one's speakers."""
    path = manifest(tmp_path, speech())
    common = speech()[5]
    mine = [common | {"id": f"mine{n}", "text": f"sentence {n % 2}"} for n in range(6)]
    manifest(tmp_path, mine, "clips.csv")
    given: Any = {"split": "speaker", "folds": folds, "test": "clips.csv", "test_by": test_by}
    seen: dict[str, list[str]] = {"val": [], "test": []}
    for fold in range(folds):
        table = load_corpus(path, layout="manifest", fold=fold, **given).table
        clips, rest = table[table["key"].isin(row["id"] for row in mine)], table["speaker"]
        assert set(table["split"].drop(clips.index)) == {"train"}
        assert common["speaker"] not in set(rest.drop(clips.index))
        expected = dict.fromkeys(["test", "val", "train"][:folds], len(mine) // folds)
        assert clips["split"].value_counts().to_dict() == expected
        for split, keys in seen.items():
            keys += sorted(clips["key"][clips["split"] == split])
        if test_by == "text":
            assert clips.groupby("text")["split"].nunique().max() == 1
    assert all(sorted(keys) == [f"mine{n}" for n in range(6)] for keys in seen.values())


def test_an_id_in_both_files_names_the_file(tmp_path: Path) -> None:
    path = manifest(tmp_path, speech())
    manifest(tmp_path, [speech()[5] | {"speaker": "x"}], "clips.csv")
    with pytest.raises(UserError, match=r"clips.csv, row 2: id 'u005' is already in row 7 of mine"):
        load_corpus(path, layout="manifest", split="speaker", folds=3, test="clips.csv")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"test": "none.csv"},
            "none.csv: no such file; give the CSV or Parquet file as corpus.test",
        ),
        ({"split": None}, "with corpus.test, set corpus.split to the unit"),
        ({"folds": 1}, "at least 2, one each for train and val"),
        ({"folds": 99}, "corpus.folds=99: the rows form only"),
        ({"test_by": "dialogue"}, "corpus.test_by=dialogue needs a column 'dialogue'"),
        ({"test_by": "sentence"}, "corpus.test_by 'sentence' is unknown; expected one of speaker"),
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


def units_of(tmp_path: Path, rows: list[dict[str, Any]], **settings: Any) -> pd.Series:
    table = load_corpus(manifest(tmp_path, rows), layout="manifest", **settings).table
    return table.set_index("key")["unit"]


def whose_dialogues(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each dialogue with one speaker, as in a corpus of monologues or of dyads by session."""
    return [row | {"dialogue": f"{row['speaker']}-{row['dialogue']}"} for row in rows]


def test_the_unit_is_the_speaker_where_speakers_are_held_out(tmp_path: Path) -> None:
    rows = whose_dialogues(speech())
    units = units_of(tmp_path, rows, split="speaker", folds=3)
    assert units.to_dict() == {row["id"]: row["speaker"] for row in rows}


@pytest.mark.parametrize("split", ["dialogue", "row"])
def test_the_unit_is_the_dialogue_where_speakers_are_not_held_out(
    tmp_path: Path, split: str
) -> None:
    rows = speech()
    units = units_of(tmp_path, rows, split=split, folds=3)
    assert {unit.split("/")[1] for unit in units} == {row["dialogue"] for row in rows}


@pytest.mark.slow
def test_a_stated_split_that_holds_speakers_out_makes_them_the_units(tmp_path: Path) -> None:
    rows = whose_dialogues(speech(speakers=13))
    speakers = sorted({row["speaker"] for row in rows})
    part = {name: ("train", "val", "test")[n % 3] for n, name in enumerate(speakers)}
    rows = [row | {"split": part[row["speaker"]]} for row in rows]
    assert set(units_of(tmp_path, rows)) == set(part)
    for changed in (
        rows[0] | {"split": "test"},  # a speaker in two splits
        rows[0] | {"dialogue": rows[1]["dialogue"]},  # a dialogue of two speakers
        rows[0] | {"speaker": ""},
    ):
        assert all("/" in unit for unit in units_of(tmp_path, [changed, *rows[1:]]))
    alone = [row for row in rows if part[row["speaker"]] != "val" or row["speaker"] == speakers[1]]
    assert all("/" in unit for unit in units_of(tmp_path, alone))  # one speaker in val


@pytest.mark.slow
def test_only_corpora_whose_unit_changed_have_another_digest(tmp_path: Path) -> None:
    """Runs, and the committed evidence, are found by this digest."""

    def digest(rows: list[dict[str, Any]]) -> str:
        path = manifest(tmp_path, rows)
        return load_corpus(path, layout="manifest", split="speaker", folds=3).digest

    def plain(rows: list[dict[str, Any]]) -> str:
        path = manifest(tmp_path, rows)
        table = load_corpus(path, layout="manifest", split="speaker", folds=3).table
        values = table[list(DIGESTED)].astype(object)
        lines = values.where(values.notna(), None).to_numpy().tolist()
        return bytes_digest(json.dumps(line).encode() for line in lines)

    dialogues = speech()
    speakers = [{name: row[name] for name in row if name != "dialogue"} for row in dialogues]
    assert digest(speakers) == plain(speakers)
    assert digest(dialogues) != plain(dialogues)

"""Names that look the same are the same; what cannot be told apart by eye is refused."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from meld_lightning.corpus import load_corpus
from meld_lightning.corpus.look_alikes import clean_name
from meld_lightning.errors import UserError
from tests.corpus.manifests import manifest, speech
from tests.repeats import few

HIDDEN = ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u200e", "\u202a", "\ufe0f")
MARKED = ("emotion", "speaker", "dialogue")


def accented() -> list[dict[str, Any]]:
    names = {"joy": "colère", "calm": "dégoût", "anger": "joie"}
    return [
        row
        | {"emotion": names[row["emotion"]], "speaker": f"Zoé {row['speaker']}"}
        | {"dialogue": f"scène {row['dialogue']}", "id": f"é{row['id']}"}
        for row in speech()
    ]


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@pytest.mark.parametrize(
    "respell",
    few(
        [
            decomposed,
            *(lambda text, mark=mark: f"{mark}{text[:2]}{mark}{text[2:]}{mark}" for mark in HIDDEN),
            lambda text: text.replace(" ", "\u00a0"),
            lambda text: f"\u3000{text.replace(' ', chr(0x202F))}\u00a0",
        ],
        3,
    ),
)
def test_every_other_row_spelt_otherwise_is_the_same_corpus(respell: Any, tmp_path: Path) -> None:
    rows = accented()
    plain = load_corpus(manifest(tmp_path, rows), "manifest", split="dialogue", folds=3)
    other = [
        row | {name: respell(row[name]) for name in (*MARKED, "id")} if n % 2 else row
        for n, row in enumerate(rows)
    ]
    found = load_corpus(manifest(tmp_path, other), "manifest", split="dialogue", folds=3)
    assert found.emotions == ("colère", "dégoût", "joie")
    assert found.digest == plain.digest
    assert "look_alikes" in found.report["quirks"]
    assert sum(plain.report["quirks"]["look_alikes"].values()) == 0
    if respell is decomposed:
        assert sum(found.report["quirks"]["look_alikes"].values()) == 30


def test_utterances_are_composed_and_otherwise_kept(tmp_path: Path) -> None:
    said = "\u00a0Un e\u0301te\u0301\u200b,  hm\ufb01n "
    rows = [row | {"text": said} for row in speech()]
    table = load_corpus(manifest(tmp_path, rows), "manifest", split="row").table
    assert set(table["text"]) == {"\u00a0Un été\u200b,  hm\ufb01n "}


def test_ids_that_look_the_same_are_refused_and_both_shown(tmp_path: Path) -> None:
    rows = accented()
    rows[4]["id"] = decomposed(rows[1]["id"])
    with pytest.raises(UserError) as error:
        load_corpus(manifest(tmp_path, rows), "manifest", split="row")
    assert "row 6: id 'e\\u0301u001' looks the same as '\\xe9u001' in row 3" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("label", ["j\u043ey", "\uff4aoy", "jo\u0443"])
def test_labels_of_other_letters_that_look_the_same_are_refused(label: str, tmp_path: Path) -> None:
    rows = speech()
    rows[4]["emotion"] = label
    with pytest.raises(UserError) as error:
        load_corpus(manifest(tmp_path, rows), "manifest", split="row")
    assert f"row 6: emotion {label!a} and 'joy' (row 3) look the same" in str(error.value)


def test_what_can_be_seen_is_kept() -> None:
    family = "\U0001f468\u200d\U0001f469"
    for name in (family, "a  b", "Joy", "joy", "\uff4aoy", "\u0458oy", "x\u0301", "日本"):
        assert clean_name(name) == name
    assert clean_name("\u2764\ufe0f") == clean_name("\u2764")
    assert clean_name("می\u200cروم") == clean_name("میروم")


@pytest.mark.parametrize(("on_disk", "named"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_files_are_found_in_either_form(on_disk: Any, named: Any, tmp_path: Path) -> None:
    folder = tmp_path / unicodedata.normalize(on_disk, "scène")
    folder.mkdir()
    rows = [row | {"clip": f"scène/é{row['id']}.mp4"} for row in speech(9)]
    for row in rows:
        (tmp_path / unicodedata.normalize(on_disk, row["clip"])).write_bytes(b"clip")
        row["clip"] = unicodedata.normalize(named, row["clip"])
    rows[0]["clip"] += "\u200b"
    rows[1]["clip"] = str(tmp_path / rows[1]["clip"])
    corpus = load_corpus(manifest(tmp_path, rows), "manifest", split="row", folds=3)
    found = {Path(clip) for clip in corpus.table["clip"]}
    assert found == set(folder.iterdir())
    assert corpus.report["files"]["missing"] == 0


def test_two_files_that_look_alike_are_not_guessed_between(tmp_path: Path) -> None:
    for name in ("é.mp4", decomposed("é.mp4")):
        (tmp_path / name).write_bytes(b"clip")
    rows = [row | {"clip": "é\u200b.mp4" if n else "é.mp4"} for n, row in enumerate(speech(3))]
    table = manifest(tmp_path, rows)
    corpus = load_corpus(table, "manifest", split="row", folds=3)
    assert corpus.table["clip"].tolist() == [str(tmp_path / "é.mp4"), None, None]
    assert [row["reason"] for row in corpus.report["rows"] if row["key"] == "u001"] == [
        "several files look like it"
    ]


def test_the_manifest_itself_and_its_columns(tmp_path: Path) -> None:
    rows = [{f"\ufeff{name}\u200b": value for name, value in row.items()} for row in speech()]
    path = manifest(tmp_path, rows, decomposed("données.csv"))
    corpus = load_corpus(path.with_name("données.csv"), "manifest", split="speaker", folds=3)
    plain = load_corpus(manifest(tmp_path, speech()), "manifest", split="speaker", folds=3)
    assert corpus.digest == plain.digest

"""Columns and labels of a manifest that have other names than ours."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from meld_lightning.commands.cli import main
from meld_lightning.corpus import load_corpus, prepare_corpus, prepared_corpus, prepared_folder
from meld_lightning.errors import UserError
from tests.corpus.manifests import manifest, speech

COLUMNS = {"id": "File Name", "text": "utterance", "emotion": "Label", "speaker": "who"}
LABELS = {"happy": "joy", "glad": "joy", "cross": "anger"}


def renamed() -> pd.DataFrame:
    table = pd.DataFrame(speech())
    glad = [
        {"joy": "glad" if n % 2 else "happy", "anger": "cross"}.get(label, label)
        for n, label in enumerate(table["emotion"])
    ]
    return table.assign(emotion=glad, note="x").rename(columns=COLUMNS)


@pytest.mark.parametrize("name", ["other.csv", "other.parquet"])
def test_the_same_corpus_under_other_names(name: str, tmp_path: Path) -> None:
    plain = load_corpus(manifest(tmp_path, speech()), "manifest", split="speaker", folds=3)
    path = manifest(tmp_path, renamed(), name)
    settings: dict[str, Any] = {"split": "speaker", "folds": 3}
    corpus = load_corpus(path, "manifest", columns=COLUMNS, labels=LABELS, **settings)
    assert corpus.emotions == ("joy", "anger", "calm") == plain.emotions
    assert corpus.digest == plain.digest
    assert corpus.report["ignored_columns"] == ["note"]
    assert corpus.table["utterance_id"].tolist() == plain.table["utterance_id"].tolist()


def test_a_column_that_gets_another_name_is_not_used_under_its_own(tmp_path: Path) -> None:
    rows = [
        row | {"said": f"said {n}", "sentiment": "calm" if n else "happy"}
        for n, row in enumerate(speech())
    ]
    corpus = load_corpus(
        manifest(tmp_path, rows),
        "manifest",
        split="row",
        columns={"text": "said"},
        labels={"calm": "neutral", "happy": "positive"},
    )
    assert corpus.table["text"].tolist()[:2] == ["said 0", "said 1"]
    assert corpus.report["ignored_columns"] == ["text"]
    assert corpus.emotions == ("neutral", "joy", "anger")
    assert corpus.sentiments == ("positive", "calm")  # calm is an emotion of this file


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            {"columns": {"text": "utterence"}},
            "no column 'utterence' (did you mean 'utterance'?); columns found: File Name,"
            " utterance, Label, who, dialogue, note; correct corpus.columns.text=utterence",
        ),
        ({"columns": {"txt": "note"}}, "corpus.columns.txt: no such column (did you mean 'text'?)"),
        (
            {"columns": {"id": "File Name", "text": "utterance"}},
            "no column 'emotion'; columns found: File Name, utterance, Label, who, dialogue, note;"
            " if it has another name there, add corpus.columns.emotion=NAME",
        ),
        (
            {"columns": COLUMNS, "labels": {"hapy": "joy"}},
            "corpus.labels.hapy=joy: no row has the label 'hapy' (did you mean 'happy'?); labels"
            " found: calm, cross, glad, happy",
        ),
    ],
)
def test_wrong_names_are_refused(names: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        load_corpus(manifest(tmp_path, renamed()), "manifest", split="row", **names)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_without_names_keep_their_folder(tmp_path: Path) -> None:
    path = manifest(tmp_path, speech())
    plain = {"name": "mine", "layout": "manifest", "root": str(path), "split": "speaker"} | {
        "folds": 3
    }
    unset = {"columns": {"text": None}, "labels": {}}
    assert prepared_folder(plain | unset, tmp_path) == prepared_folder(plain, tmp_path)
    named = plain | {"labels": {"calm": "neutral"}}
    assert prepared_folder(named, tmp_path) != prepared_folder(plain, tmp_path)
    with pytest.raises(UserError, match=r"corpus.labels.calm=neutral"):
        prepared_corpus(named, tmp_path)
    prepare_corpus(named, tmp_path)
    assert prepared_corpus(named, tmp_path).emotions == ("neutral", "joy", "anger")


def test_names_are_given_on_the_command_line_and_shown_by_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = manifest(tmp_path, renamed().rename(columns={"File Name": "file"}))
    corpus = ["corpus=manifest", f"corpus.root={path}", "corpus.split=speaker", "corpus.folds=3"]
    columns = [f"corpus.columns.{one}={other}" for one, other in (COLUMNS | {"id": "file"}).items()]
    labels = [f"corpus.labels.{one}={other}" for one, other in LABELS.items()]
    asked = [*corpus, *columns, *labels]
    assert main(["prepare", *asked, "media.keep=[]", "checkpoints=minilm"]) == 0
    report = next((tmp_path / "cache/corpus").glob("*/report.md")).read_text()
    assert "| joy | " in report
    assert "happy" not in report
    capsys.readouterr()
    assert main(["train", *asked, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "corpus.labels.glad=joy" in shown
    assert "corpus.columns.text=utterance" in shown
    assert main(["train", "--help"]) == 0
    assert "corpus.labels={}" in capsys.readouterr().out
    assert main(["prepare", *corpus, "corpus.labels.col\u00e8re=anger"]) == 1
    wrong = capsys.readouterr().err
    assert "write such labels into a file, FOLDER/corpus/mine.yaml" in wrong
    assert main(["prepare", *corpus, "corpus.columns.txt=a"]) == 1
    wrong = capsys.readouterr().err
    assert "corpus.columns.txt' is not known (did you mean 'corpus.columns.text'?)" in wrong

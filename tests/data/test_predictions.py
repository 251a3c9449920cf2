"""Predictions that come as a file: what is accepted, and that all else is refused in one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from meld_lightning.data.predictions import read_predictions
from meld_lightning.errors import UserError

KEYS = ["val/a", "val/b", "test/c"]
LABELS = ("neutral", "joy")
GOOD = "key,joy,neutral\ntest/c,0.25,0.75\nval/a,1,0\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "votes.csv"
    path.write_text(text)
    return path


def test_rows_are_joined_by_key_and_columns_by_label(tmp_path: Path) -> None:
    found = read_predictions(written(tmp_path, GOOD), KEYS, LABELS, "probabilities")
    assert found.given_N.tolist() == [True, False, True]
    probabilities = np.exp(found.logits_NC[found.given_N])
    np.testing.assert_allclose(probabilities, [[1e-6, 1], [0.75, 0.25]], atol=2e-6)
    assert np.isfinite(found.logits_NC[found.given_N]).all()


def test_logits_are_kept_and_an_empty_row_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "logits.parquet"
    frame = pd.DataFrame({"key": KEYS, "logit.neutral": [3.0, None, -2.0], "text": "x"})
    frame["logit.joy"] = [-5.0, None, 9.0]
    frame.to_parquet(path)
    found = read_predictions(path, KEYS, LABELS, "logits")
    assert found.given_N.tolist() == [True, False, True]
    assert found.logits_NC[found.given_N].tolist() == [[3.0, -5.0], [-2.0, 9.0]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "cannot be read (No columns to parse from file)"),
        (
            "Key,joy,neutral\na,1,0\n",
            "no column 'key' (did you mean 'Key'?); its columns (separated by commas): Key, joy",
        ),
        ("key,joy,neutral\n", "no rows"),
        ("key,joy\nval/a,1\n", "no column for neutral; expected one for each label: neutral, joy"),
        ("key,joi,neutral\nval/a,1,0\n", "no column for joy (did you mean 'joi'?)"),
        ("key,joy,neutral,calm\nval/a,1,0,0\n", "column 'calm' is not a label of the corpus"),
        (GOOD + "val/a,1,0\n", "val/a occurs twice; expected one row for each utterance"),
        (
            GOOD + "val/aa,1,0\n",
            "1 of 3 keys are not in the corpus, such as 'val/aa' (did",
        ),
        (GOOD + ",1,0\n,0,1\n", "no key in 2 of 4 rows, the first after row 2; expected one in"),
        (GOOD + "zzz,1,0\n", "such as 'zzz'; a key looks like 'val/a'"),
        (GOOD + "val/b,much,0\n", "joy of val/b is not a number ('much')"),
        (GOOD + "val/b,inf,0\n", "joy of val/b is infinite (inf)"),
        (GOOD + f"val/b,{'9' * 400},0\n", "joy of val/b is infinite"),
        (GOOD + "val/b,1,\n", "neutral of val/b is empty, while other labels have a value"),
        (GOOD + "val/b,3,2\n", "the probabilities of val/b sum to 5, expected 1 (1 of 3 rows)"),
        (GOOD + "val/b,1.5,-0.5\n", "val/b has a negative probability; if the file holds logits"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(text: str, line: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError) as error:
        read_predictions(path, KEYS, LABELS, "probabilities")
    assert str(error.value).startswith(f"predictions={path}: ")
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_hard_votes_in_parquet_may_be_true_and_false(tmp_path: Path) -> None:
    frame = pd.DataFrame({"key": KEYS, "joy": [True, False, True], "neutral": [False, True, False]})
    found = []
    for name, kind in (("bool", bool), ("int", int)):
        frame.astype({"joy": kind, "neutral": kind}).to_parquet(tmp_path / f"{name}.parquet")
        path = tmp_path / f"{name}.parquet"
        found.append(read_predictions(path, KEYS, LABELS, "probabilities").logits_NC)
    np.testing.assert_array_equal(found[0], found[1])


def test_text_in_parquet_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "votes.parquet"
    frame = pd.DataFrame({"key": KEYS, "joy": 1.0, "neutral": 0.0})
    frame.to_parquet(path, compression=None)
    path.write_bytes(path.read_bytes().replace(b"val/b", b"val/\xff"))
    with pytest.raises(UserError, match="cannot be read .*UTF8"):
        read_predictions(path, KEYS, LABELS, "probabilities")

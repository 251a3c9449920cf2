"""The files of logits: what they hold, and which ones are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from meld_lightning.errors import UserError
from meld_lightning.runs.logits import logits_digest, logits_of, read_logits, write_logits

LABELS = ("neutral", "joy")
REMEDY = "make that run again, with its own train or fuse command and rerun=true$"
LIKE_COLUMNS = ("present", "key", "unit", "label", "logit.present")
ROWS = pd.DataFrame(
    {"key": ["a", "b"], "label": [0, 1], "unit": ["d", "d"], "present": [True, False]}
)
LOGITS = np.array([[0.5, 0.25], [1.0, 2.0]])


def digest(path: Path, rows: pd.DataFrame, logits: np.ndarray) -> str:
    write_logits(path, rows, logits, LABELS)
    return logits_digest(read_logits(path, LABELS))


def test_every_value_of_the_logits_is_in_their_digest(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    plain = digest(path, ROWS, LOGITS)
    assert digest(path, ROWS, LOGITS) == plain
    changed = [
        digest(path, ROWS, LOGITS + np.array([[0, 0], [0, 1e-6]])),
        digest(path, ROWS.assign(key=["a", "c"]), LOGITS),
        digest(path, ROWS.assign(label=[0, 0]), LOGITS),
        digest(path, ROWS.assign(unit=["d", "e"]), LOGITS),
        digest(path, ROWS.assign(present=[True, True]), LOGITS),
    ]
    assert len({plain, *changed}) == 6


def test_the_digest_of_given_values_is_fixed(tmp_path: Path) -> None:
    """Fusions are named by it: another digest would orphan every one of them."""
    assert digest(tmp_path / "test.parquet", ROWS, LOGITS) == "aa165a653cc37308"


def test_labels_may_be_named_like_columns(tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    logits = np.arange(10, dtype=np.float32).reshape(2, 5)
    write_logits(path, ROWS.assign(label=[3, 0]), logits, LIKE_COLUMNS)
    frame = read_logits(path, LIKE_COLUMNS)
    assert frame["key"].tolist() == ["a", "b"]
    assert frame["label"].tolist() == ["label", "present"]
    assert frame["unit"].tolist() == ["d", "d"]
    assert frame["present"].tolist() == [True, False]
    np.testing.assert_array_equal(logits_of(frame, LIKE_COLUMNS), logits)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_neither_written_nor_read(
    tmp_path: Path, wrong: float
) -> None:
    path = tmp_path / "test.parquet"
    with pytest.raises(UserError, match="logits of b are not finite"):
        write_logits(path, ROWS, np.array([[0.5, 0.25], [1.0, wrong]]), LABELS)
    assert not path.exists()
    write_logits(path, ROWS, LOGITS, LABELS)
    frame = pd.read_parquet(path)
    frame.loc[1, "logit.joy"] = wrong
    frame.to_parquet(path)
    with pytest.raises(UserError, match=f"{path}: logits of b are not finite; make that run again"):
        read_logits(path, LABELS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        # as files were before labels had a prefix
        (lambda frame: frame.rename(columns=lambda name: name.removeprefix("logit.")), "columns"),
        (lambda frame: frame.drop(columns="present"), "columns"),
        (lambda frame: frame.assign(label="bored"), "the label of a is 'bored'"),
        (lambda frame: frame.iloc[[0, 0]], "utterance a occurs twice"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, change: Any, said: str) -> None:
    path = tmp_path / "test.parquet"
    write_logits(path, ROWS, LOGITS, LABELS)
    change(pd.read_parquet(path)).to_parquet(path, index=False)
    with pytest.raises(UserError, match=f"{path}: {said}.*; {REMEDY}") as error:
        read_logits(path, LABELS)
    assert len(str(error.value).splitlines()) == 1

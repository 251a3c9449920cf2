"""Warm starts: which weights are taken over, and which runs are refused."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from meld_lightning.corpus import Corpus
from meld_lightning.corpus.folds import split_by_units
from meld_lightning.corpus.table import typed
from meld_lightning.errors import UserError
from meld_lightning.runs.logits import write_logits
from meld_lightning.runs.result import write_result
from meld_lightning.training.checkpoint_file import save_tensors
from meld_lightning.training.warm_start import start_from
from tests.study.conftest import result_of

LABELS = ("neutral", "joy")
SPEAKERS = [f"speaker{number % 12}" for number in range(36)]


def corpus(folds: int = 4, fold: int = 0, names: str = "a") -> Corpus:
    """36 utterances of 12 speakers, split by speakers."""
    table = pd.DataFrame({"key": [f"{names}{number}" for number in range(36)], "unit": SPEAKERS})
    table["split"] = split_by_units(SPEAKERS, folds, fold)
    return Corpus("own", typed(table), LABELS, (), {})


class Model(nn.Module):
    """An encoder and a head; on demand a part that the other run does not have."""

    def __init__(self, width: int = 3, recurrent: bool = False) -> None:
        super().__init__()
        self.encoder = nn.Linear(4, width)
        self.head = nn.Linear(width, 2)
        if recurrent:
            self.dialogue = nn.GRU(width, 2)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The folder of a finished run of Model."""
    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(1)
    save_tensors({"state_dict": Model().state_dict()}, tmp_path / "checkpoints" / "best.ckpt")
    OmegaConf.save(OmegaConf.create(), tmp_path / "config.yaml")
    theirs = corpus()
    rows = theirs.table[theirs.table["split"] == "train"].assign(label=0, present=True)
    write_logits(tmp_path / "logits" / "train.parquet", rows, np.zeros((len(rows), 2)), LABELS)
    digests = {"corpus": theirs.digest}
    write_result(tmp_path, result_of(labels=LABELS, fold=0, best={"epoch": 2}, digests=digests))
    return tmp_path


def test_weights_are_taken_over_and_new_parts_keep_their_own(
    other: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    torch.manual_seed(2)
    model = Model(recurrent=True)
    own = {name: value.clone() for name, value in model.state_dict().items()}
    start_from(other, model, LABELS, corpus())
    assert caplog.messages[-1].endswith("epoch 2; new: dialogue")
    torch.manual_seed(1)
    theirs = Model().state_dict()
    for name, value in model.state_dict().items():
        expected = theirs[name] if name in theirs else own[name]
        assert torch.equal(value, expected), name
    assert not torch.equal(own["encoder.weight"], theirs["encoder.weight"])


def test_parts_that_the_other_run_alone_has_are_named(
    other: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    weights = Model(recurrent=True).state_dict()
    save_tensors({"state_dict": weights}, other / "checkpoints" / "best.ckpt")
    start_from(other, Model(), LABELS, corpus())
    assert caplog.messages[-1].endswith("epoch 2; left out: dialogue")


def test_a_run_of_other_utterances_is_accepted(other: Path) -> None:
    start_from(other, Model(), LABELS, corpus(5, 1, names="b"))


@pytest.mark.parametrize(
    ("model", "labels", "split", "message"),
    [
        (Model(width=5), LABELS, (4, 0), r"encoder.weight is \(3, 4\), expected \(5, 4\)"),
        (Model(), ("joy", "anger"), (4, 0), "its labels are neutral, joy, expected"),
        (Model(), LABELS, (4, 1), r"was trained on 9 of the 18 utterances of this run's val and"),
        (Model(), LABELS, (6, 0), r"was trained on \d+ of the 12 utterances of this run's val"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(
    other: Path, model: nn.Module, labels: tuple[str, ...], split: tuple[int, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        start_from(other, model, labels, corpus(*split))


def test_a_run_without_weights_or_result_is_refused(other: Path) -> None:
    (other / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(UserError, match="keeps no weights; name the folder"):
        start_from(other, Model(), LABELS, corpus())
    (other / "result.json").unlink()
    with pytest.raises(UserError, match="no finished run there"):
        start_from(other, Model(), LABELS, corpus())

"""Warm starts: which weights are taken over, and which runs are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from meld_lightning.errors import UserError
from meld_lightning.runs.result import write_result
from meld_lightning.training.checkpoint_file import save_tensors
from meld_lightning.training.warm_start import start_from
from tests.study.conftest import result_of

LABELS = ("neutral", "joy")


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
    write_result(tmp_path, result_of(labels=LABELS, fold=0, best={"epoch": 2}))
    return tmp_path


def corpus(split: str | None = None, fold: int = 0) -> Any:
    return OmegaConf.create({"split": split, "fold": fold})


def test_weights_are_taken_over_and_new_parts_keep_their_own(other: Path) -> None:
    torch.manual_seed(2)
    model = Model(recurrent=True)
    own = {name: value.clone() for name, value in model.state_dict().items()}
    start_from(other, model, LABELS, corpus("speaker"))
    torch.manual_seed(1)
    theirs = Model().state_dict()
    for name, value in model.state_dict().items():
        expected = theirs[name] if name in theirs else own[name]
        assert torch.equal(value, expected), name
    assert not torch.equal(own["encoder.weight"], theirs["encoder.weight"])


@pytest.mark.parametrize(
    ("model", "labels", "settings", "message"),
    [
        (Model(width=5), LABELS, corpus(), r"encoder.weight is \(3, 4\), expected \(5, 4\)"),
        (Model(), ("joy", "anger"), corpus(), "its labels are neutral, joy, expected"),
        (Model(), LABELS, corpus("speaker", 1), "a run of fold 0, which was trained on"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(
    other: Path, model: nn.Module, labels: tuple[str, ...], settings: DictConfig, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        start_from(other, model, labels, settings)


def test_a_run_without_weights_or_result_is_refused(other: Path) -> None:
    (other / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(UserError, match="keeps no weights; name the folder"):
        start_from(other, Model(), LABELS, corpus())
    (other / "result.json").unlink()
    with pytest.raises(UserError, match="no finished run there"):
        start_from(other, Model(), LABELS, corpus())

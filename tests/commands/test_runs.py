"""`meld-lightning runs` on a real run: what `show` says of it, and that the command that it prints
makes the run again."""

import json
import shlex
from pathlib import Path

import pytest

from meld_lightning.commands.cli import main
from tests.finished import SMALL, assert_same_run, only_run
from tests.running import Command, argv, folder_over, run, run_well


@pytest.fixture
def beside(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished run, in whose folder commands run."""
    monkeypatch.chdir(finished.parents[2])
    return finished


def test_show_tells_val_before_test_and_the_command(
    beside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "show", beside.name[:5], "json=true"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["hash"] == beside.name
    assert found["differs"] == ["model=roberta", "optimizer.lr=1e-3"]
    assert found["again"]["check"] == "same run"
    assert shlex.split(found["again"]["command"]) == [
        "meld-lightning", "train", "model=roberta", "optimizer.lr=1e-3"
    ]  # fmt: skip
    assert set(found["files"]) >= {"config.yaml", "result.json", "checkpoints/best.ckpt"}
    assert main(["runs", "show", found["name"]]) == 0
    text = capsys.readouterr().out
    assert text.index("val/weighted_f1") < text.index(" test")
    assert text.count("<- chosen") == 1
    assert "(checked: with what is prepared here it gives this hash)" in text


@pytest.mark.slow
def test_show_without_prepared_data_compares_the_settings(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "show", str(finished), "json=true"]) == 0
    assert json.loads(capsys.readouterr().out)["again"]["check"] == "same settings"


@pytest.mark.slow
def test_the_command_that_show_prints_makes_the_same_run(
    prepared: Path, tmp_path: Path, meld_lightning: Command
) -> None:
    first, second = (folder_over(prepared, tmp_path / name) for name in ("first", "second"))
    asked = [*SMALL, "model.pooling=mean", "data.max_tokens=24", "epochs=1", "seed=3"]
    run_well(argv(*asked, "scheduler.warmup=0.1", "data.context=past", "target=sentiment"), first)
    folder = only_run(first)
    shown = run(argv("runs", "show", folder.name[:6], "json=true"), first)
    command = shlex.split(json.loads(shown.stdout)["again"]["command"])
    run_well(argv(*command[1:]), second)
    assert_same_run(folder, second / folder.relative_to(first))

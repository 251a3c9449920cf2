"""`runs ...` called in this process, as the console script calls it, but for Hydra: composing
conf/runs.yaml costs more than all that the tests of this folder do (tests/commands/test_runs.py
composes it)."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from meld_lightning.commands import runs as command
from meld_lightning.commands.cli import main
from meld_lightning.config.keys import defaults_of
from meld_lightning.config.nodes import Runs


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of all runs, below the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(command, "run_hydra", without_hydra)
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def without_hydra(name: str, task: Callable[[Any], None], arguments: Sequence[str]) -> None:
    """Calls `task` with the defaults of the command and the keys given."""
    task(OmegaConf.merge(defaults_of(Runs), OmegaConf.from_dotlist(list(arguments))))


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `meld-lightning runs ARGUMENTS` prints; it has to end well."""

    def call(*arguments: str) -> str:
        status = main(["runs", *arguments])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return printed.out

    return call


@pytest.fixture
def data(said: Callable[..., str]) -> Callable[..., Any]:
    """The JSON that `meld-lightning runs ARGUMENTS json=true` prints."""
    return lambda *arguments: json.loads(said(*arguments, "json=true"))


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line with which `meld-lightning runs ARGUMENTS` is refused."""

    def call(*arguments: str) -> str:
        assert main(["runs", *arguments]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        [line] = printed.err.splitlines()
        return line.removeprefix("meld-lightning: ")

    return call

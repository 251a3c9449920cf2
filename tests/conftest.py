"""What many tests share: a folder with the mini corpus and checkpoints prepared, and the command line run in it."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.running import CHECKOUT, Command, argv, environment


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `meld-lightning prepare` has been run for the mini study."""
    folder = tmp_path_factory.mktemp("prepared")
    done = subprocess.run(argv("prepare"), cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def meld_lightning(prepared: Path) -> Command:
    """Runs `meld-lightning ARGUMENTS` in the prepared folder (or in `cwd`) and hands back what it printed."""

    def run(*arguments: str, cwd: Path = prepared, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
        )

    return run


@pytest.fixture
def compose_train(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[str]], object]:
    """Composes conf/train.yaml as the command does, in the prepared folder."""
    from hydra import compose, initialize_config_dir

    monkeypatch.chdir(prepared)

    def composed(overrides: Sequence[str]) -> object:
        with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
            return compose("train", list(overrides))

    return composed

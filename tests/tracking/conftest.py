"""No test here is logged in to W&B or reaches a network; a run that every logger has logged."""

import os
from pathlib import Path

import pytest

from tests.running import argv, folder_over, run, shared
from tests.tracking.logged import every_logger_at_once

LEARNS_NOTHING = ["train", "model=roberta", "optimizer.lr=0", "epochs=1"]


@pytest.fixture(autouse=True)
def _logged_in_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # no ~/.netrc
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # any use of the network fails


@pytest.fixture(scope="session")
def constant(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that learns nothing and predicts one class, logged by every logger;
    printed.txt holds what the command printed."""

    def make(folder: Path) -> None:
        asked = [*LEARNS_NOTHING, *every_logger_at_once(folder)]
        done = run(argv(*asked), folder_over(prepared, folder), WANDB_MODE="offline")
        assert done.returncode == 0, done.stderr
        (folder / "printed.txt").write_text(done.stdout)

    return shared(tmp_path_factory, "constant", make)

"""No test here is logged in to W&B or reaches a network."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _logged_in_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # no ~/.netrc
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # any use of the network fails

"""The mini corpus without its clips, which take half a minute to write."""

from pathlib import Path

import pytest

from meld_lightning.mini import clips as mini_clips


@pytest.fixture(scope="session")
def mini_root(prepared: Path) -> Path:
    """The folder of the mini corpus."""
    return prepared / "cache" / "mini"


@pytest.fixture
def no_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the clips where the mini corpus is written."""
    monkeypatch.setattr(mini_clips, "write_clips", lambda *_: None)

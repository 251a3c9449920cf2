"""W&B starts for a user without a home, and stays out where WANDB_MODE=disabled."""

import os
from pathlib import Path

import pytest

from meld_lightning.tracking.wandb_logger import USUAL_FOLDERS, give_writable_folders
from tests.finished import SMALL, only_run
from tests.running import call, folder_over


@pytest.mark.slow
def test_a_disabled_wandb_logs_nothing(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    folder = folder_over(prepared, tmp_path / "there")
    done = call([*SMALL, "epochs=1", "logger=wandb"], folder)
    assert done.returncode == 0, done.stderr
    assert "WANDB_MODE=disabled: W&B logs nothing of this run" in done.stdout
    found = {path.name for path in only_run(folder).iterdir()}
    assert "result.json" in found
    assert not found & {"wandb", "tracking.json"}


def test_folders_of_a_home_that_cannot_be_written_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.write_text("a file, in which not even root makes a folder")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in USUAL_FOLDERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_CACHE_DIR", "/chosen/by/the/user")
    # monkeypatch restores what the call sets
    monkeypatch.setenv("WANDB_CONFIG_DIR", "x")
    monkeypatch.setenv("WANDB_DATA_DIR", "x")
    del os.environ["WANDB_CONFIG_DIR"], os.environ["WANDB_DATA_DIR"]

    give_writable_folders()

    assert os.environ["WANDB_CACHE_DIR"] == "/chosen/by/the/user"
    for name in ("WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        folder = Path(os.environ[name])
        assert folder.is_dir()
        assert folder.is_relative_to(tmp_path / f"wandb-{os.getuid()}")


def test_folders_of_a_usual_home_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in USUAL_FOLDERS:
        monkeypatch.delenv(name, raising=False)
    give_writable_folders()
    assert not set(USUAL_FOLDERS) & set(os.environ)

"""What many tests share: a folder with the mini corpus and checkpoints prepared, and the command
line run in it."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from tests.running import CHECKOUT, HANGS_S, Command, argv, environment, folder_over

CSV_ALONE = """
from pathlib import Path
from meld_lightning.mini import clips as mini_clips
from meld_lightning.mini.corpus import write_mini
mini_clips.write_clips = lambda *_: None
write_mini(Path("cache/mini"))
"""


def run_in(folder: Path, *command: str) -> None:
    """Runs a command line in `folder`; it has to end well."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `meld-lightning prepare` has been run for the mini study.

    Without the corpus's clips, which take half a minute, and without CLIP, which takes a whole one:
    see `with_clips`.
    """
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "cache").mkdir()
    run_in(folder, sys.executable, "-c", CSV_ALONE)
    run_in(folder, *argv("prepare", "checkpoints.clip=null"))
    return folder


@pytest.fixture(scope="session")
def with_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `meld-lightning prepare` has been run for the mini study, clips and CLIP
    included.

    Its cache is one for all of pytest's processes.
    """
    base, own = tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("with_clips")
    whole = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "one-for-all"
    with FileLock(f"{whole}.lock"):
        if not (whole / "done").is_file():
            whole.mkdir(exist_ok=True)
            run_in(whole, *argv("prepare"))
            (whole / "done").touch()
    return folder_over(whole, own)


@pytest.fixture
def meld_lightning(prepared: Path) -> Command:
    """Runs `meld-lightning ARGUMENTS` in the prepared folder (or in `cwd`) and hands back what it
    printed."""

    def run(
        *arguments: str, cwd: Path = prepared, timeout: float = HANGS_S
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv(*arguments),
            cwd=cwd,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def compose_train(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Sequence[str]], object]:
    """Composes conf/train.yaml as the command does, in the prepared folder."""
    from hydra import compose, initialize_config_dir

    monkeypatch.chdir(prepared)

    def composed(overrides: Sequence[str]) -> object:
        with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
            return compose("train", list(overrides))

    return composed

"""What many tests share: a folder with the mini corpus and checkpoints prepared, and the command
line run in it."""

import gc
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.browser import browser as browser
from tests.finished import SMALL, only_run
from tests.running import CHECKOUT, Command, argv, call_well, folder_over, run, run_well, shared

# before torch is imported: tests share a machine, and threads that wait for a core slow all down
os.environ.setdefault("OMP_NUM_THREADS", "1")

LONGEST = ("system/test_readme", "system/test_ddp", "launching/test_sweep", "commands/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first, so that no process is left with one at the end."""
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONGEST))


def pytest_collection_finish() -> None:
    """Garbage collections need not look through what is imported by now, which stays, and come
    rarely: by default they take a tenth of what composing a config costs."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `meld-lightning prepare` has been run for the mini study.

    Without the corpus's clips, which take half a minute, and without CLIP, which is trained on
    them: see `with_clips`.
    """

    def make(folder: Path) -> None:
        from meld_lightning.mini import clips, corpus

        (folder / "cache").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clips, "write_clips", lambda *_: None)
            corpus.write_mini(folder / "cache" / "mini")
        call_well(["prepare", "checkpoints.clip=null"], folder)

    return shared(tmp_path_factory, "prepared", make)


@pytest.fixture(scope="session")
def with_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `meld-lightning prepare` has been run for the mini study, clips and CLIP
    included."""
    return shared(tmp_path_factory, "with-clips", lambda folder: run_well(argv("prepare"), folder))


@pytest.fixture(scope="session")
def finished(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished small run, undisturbed."""

    def make(folder: Path) -> None:
        call_well(SMALL, folder_over(prepared, folder))

    return only_run(shared(tmp_path_factory, "finished", make))


@pytest.fixture
def meld_lightning(prepared: Path) -> Command:
    """Runs `meld-lightning ARGUMENTS` as a process of its own in the prepared folder (or in `cwd`)
    and hands back what it printed."""

    def command(*arguments: str, cwd: Path = prepared) -> subprocess.CompletedProcess[str]:
        return run(argv(*arguments), cwd)

    return command


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

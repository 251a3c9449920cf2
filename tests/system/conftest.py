"""A folder in which what docs/start.md shows has been run, for the tests of the docs."""

from pathlib import Path

import pytest

from tests.finished import linked_runs
from tests.pages import is_run, ours, words
from tests.running import argv, folder_over, run_well, shared


@pytest.fixture(scope="session")
def started(with_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands of docs/start.md on the mini corpus have been run."""

    def make(folder: Path) -> None:
        folder_over(with_clips, folder)
        for command in ours("start.md"):
            if is_run("start.md", command):
                run_well(argv(*words(command, folder)[1:]), folder)

    return shared(tmp_path_factory, "started", make)


@pytest.fixture
def over_started(started: Path, tmp_path: Path) -> Path:
    """A folder of its own over the cache and the finished runs of `started`."""
    return linked_runs(started, tmp_path / "folder", "*")

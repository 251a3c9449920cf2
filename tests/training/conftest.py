"""The small run that the tests of training repeat, kill and read."""

import subprocess
from pathlib import Path

import pytest

from tests.finished import only_run
from tests.running import argv, environment, folder_over

SMALL = [
    "model=roberta",
    "optimizer.lr=1e-3",
    "data.batch_size=16",
]  # random weights, 1 million parameters


def arguments(*extra: str) -> list[str]:
    return ["train", *SMALL, *extra]


@pytest.fixture(scope="module")
def finished(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished small run."""
    folder = folder_over(prepared, tmp_path_factory.mktemp("finished"))
    done = subprocess.run(
        argv(*arguments()),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return only_run(folder)

"""A fusion of all three modalities, for the tests of what is loaded and predicted with it."""

from pathlib import Path

import pytest

from tests.finished import linked_runs
from tests.running import argv, run_well, shared
from tests.system.conftest import started as started


@pytest.fixture(scope="session")
def fused(started: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fusion of the text and the sound of docs/start.md with a model of frames."""

    def make(folder: Path) -> None:
        linked_runs(started, folder, "text-*", "audio-*")
        run_well(argv("train", "model=clip_probe", "optimizer.lr=1e-3", "epochs=2"), folder)
        runs = [path.parent for path in folder.glob("runs/*/*/result.json")]
        named = [f"runs.{one.parent.name.split('-')[0]}={one.relative_to(folder)}" for one in runs]
        run_well(argv("fuse", *named), folder)

    return shared(tmp_path_factory, "fused", make)

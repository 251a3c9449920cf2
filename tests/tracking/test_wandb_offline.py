"""The tests' own reader of W&B's files."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import environment
from tests.tracking.logged import STEP
from tests.tracking.wandb_offline import read_runs


@pytest.mark.slow
def test_a_truncated_file_gives_its_complete_records(prepared: Path, tmp_path: Path) -> None:
    """Written by W&B itself, and truncated to many lengths."""
    write = (
        "import wandb\nwith wandb.init(mode='offline', id='one', project='p',"
        " settings=wandb.Settings(silent=True)) as run:\n    for step in range(40):"
        f" run.log({{'{STEP}': step, 'long': 'x' * 2000}})\n"
    )
    subprocess.run(
        [sys.executable, "-c", write],
        cwd=tmp_path,
        env=environment(),
        check=True,
        capture_output=True,
    )
    [file] = tmp_path.glob("wandb/offline-run-*/run-one.wandb")
    whole = file.read_bytes()
    assert len(steps_in(tmp_path)) == 40
    for length in range(0, len(whole), 5003):
        file.write_bytes(whole[:length])
        found = steps_in(tmp_path)
        assert found == list(range(len(found)))


def steps_in(folder: Path) -> list[int]:
    return [row[STEP] for run in read_runs(folder) for row in run.history]

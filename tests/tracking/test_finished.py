"""A run trained without a logger is logged later from its files, once."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.finished import SMALL
from tests.running import call, folder_over


@pytest.mark.slow
def test_a_finished_run_is_logged_from_its_files_once(
    prepared: Path, finished: Path, tmp_path: Path
) -> None:
    folder = folder_over(prepared, tmp_path / "there")
    own = folder / "runs" / finished.parent.name / finished.name
    shutil.copytree(finished, own)
    before = (own / "result.json").read_bytes()
    done = call([*SMALL, "logger=csv"], folder)
    assert done.returncode == 0, done.stderr
    assert f"runs/{own.parent.name}/{own.name}: logged from its files" in done.stdout
    assert (own / "result.json").read_bytes() == before

    written = pd.read_csv(own / "csv" / "version_0" / "metrics.csv").set_index("step")
    expected = pd.read_csv(own / "metrics.csv").set_index("step")
    for name in expected:
        assert written[name].dropna().to_dict() == expected[name].to_dict()
    best = written["best/val/weighted_f1"].dropna().to_dict()
    [score] = best.values()
    assert score == expected["val/weighted_f1"].max()

    again = call([*SMALL, "logger=csv"], folder)
    assert "logged from its files" not in again.stdout
    assert [path.name for path in (own / "csv").iterdir()] == ["version_0"]

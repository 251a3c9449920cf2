"""The benchmarks of speech and of fusion weights run, compare results before times, and end with
one JSON object."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import speech_inference, weight_search
from tests.running import CHECKOUT, environment

pytestmark = pytest.mark.slow
SPEECH = ["--shape", "tiny", "--clips", "3", "--rounds", "1"]
WEIGHTS = ["--steps", "4", "--utterances", "200", "--rounds", "1"]


def last_line(script: str, arguments: list[str], folder: Path) -> dict[str, Any]:
    """Of benchmarks/SCRIPT, which must succeed and leave `folder` empty."""
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "benchmarks" / script), *arguments],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["same"]
    assert all(
        way["cpu_ms"] > 0 and way["wall_ms"] > 0 and way["times_ours"] > 0
        for way in found["ways"].values()
    )
    return found


def test_speech_inference_times_four_ways(tmp_path: Path) -> None:
    table, folder = tmp_path / "durations.csv", tmp_path / "work"
    table.write_text("clip,file_seconds_emobox\na,0.1\nb,\nc,0.3\n")
    folder.mkdir()
    found = last_line("speech_inference.py", [*SPEECH, "--durations", str(table)], folder)
    assert found["seconds"] == 3.0, "no clip is shorter than a second"
    assert set(found["ways"]) == {"ours", "ours_alone", "ours_fp32", "pipeline"}
    assert set(found["differences"]) == {"ours", "padded"}
    assert max(found["differences"].values()) < 1e-4
    assert all(way["units"] == 3 for way in found["ways"].values())
    assert found["agreement"]["ours_fp32"] == found["agreement"]["pipeline"] == 1


def test_weight_search_times_two_ways(tmp_path: Path) -> None:
    found = last_line("weight_search.py", WEIGHTS, tmp_path)
    assert set(found["ways"]) == {"ours", "scikit_learn"}
    assert found["best"][0] == found["best"][1]
    assert found["ways"]["scikit_learn"]["units"] == 15


@pytest.mark.parametrize(
    ("script", "arguments"), [(speech_inference, SPEECH), (weight_search, WEIGHTS)]
)
def test_results_that_differ_are_not_timed(
    script: ModuleType,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(script, "TOLERANCE", -1.0)
    monkeypatch.setattr(sys, "argv", [f"{script.__name__}.py", *arguments])
    assert script.main() == 1
    found = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert not found["same"]
    assert "ways" not in found

"""The benchmarks of speech and of fusion weights run, compare results before times, and end with
one JSON object."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.scripts import refuse_to_time, run_benchmark
from tests.running import CHECKOUT, environment

pytestmark = pytest.mark.slow
SPEECH = ["--shape", "tiny", "--clips", "3", "--rounds", "1"]
WEIGHTS = ["--steps", "4", "--utterances", "200", "--rounds", "1"]


def assert_timed(found: dict[str, Any]) -> None:
    assert found["same"]
    assert all(
        way["cpu_ms"] > 0 and way["wall_ms"] > 0 and way["times_ours"] > 0
        for way in found["ways"].values()
    )


def test_speech_inference_times_four_ways(tmp_path: Path) -> None:
    table = tmp_path / "durations.csv"
    table.write_text("clip,file_seconds_emobox\na,0.1\nb,\nc,0.3\n")
    arguments = [*SPEECH, "--durations", str(table)]
    found = run_benchmark("speech_inference", arguments, tmp_path / "here")
    assert_timed(found)
    assert found["seconds"] == 3.0, "no clip is shorter than a second"
    assert set(found["ways"]) == {"ours", "ours_alone", "ours_fp32", "pipeline"}
    assert set(found["differences"]) == {"ours", "padded"}
    assert max(found["differences"].values()) < 1e-4
    assert all(way["units"] == 3 for way in found["ways"].values())
    assert found["agreement"]["ours_fp32"] == found["agreement"]["pipeline"] == 1


def test_weight_search_times_two_ways(tmp_path: Path) -> None:
    """As a user runs it: every way in an interpreter of its own."""
    script = CHECKOUT / "benchmarks" / "weight_search.py"
    done = subprocess.run(
        [sys.executable, str(script), *WEIGHTS],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert_timed(found)
    assert set(found["ways"]) == {"ours", "scikit_learn"}
    assert found["best"][0] == found["best"][1]
    assert found["ways"]["scikit_learn"]["units"] == 15


@pytest.mark.parametrize(
    ("script", "arguments"), [("speech_inference", SPEECH), ("weight_search", WEIGHTS)]
)
def test_results_that_differ_are_not_timed(
    script: str, arguments: list[str], tmp_path: Path
) -> None:
    found = refuse_to_time(script, arguments, tmp_path / "here")
    assert not found["same"]
    assert "ways" not in found

"""The benchmarks run, compare results before times, and end with one JSON object."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import text_training
from tests.running import CHECKOUT, environment

pytestmark = pytest.mark.slow
TINY = ["--models", "minilm", "--rounds", "1", "--steps", "4", "--padded-batch", "1"]


def test_text_training_times_three_ways(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "benchmarks" / "text_training.py"), *TINY],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    model = json.loads(done.stdout.splitlines()[-1])["models"]["minilm"]
    assert model["same"]
    assert model["differences"]["logits"] < 1e-5
    ways = {name: way["median"] for name, way in model["ways"].items()}
    assert set(ways) == {"ours", "grouped", "padded"}
    assert all(way["utterances_per_s"] > 0 and way["share_of_peak"] > 0 for way in ways.values())
    assert ways["ours"]["padding"] < 0.5 < 0.9 < ways["padded"]["padding"]
    assert model["ways"]["padded"]["ours_faster"] > 0
    assert list(tmp_path.iterdir()) == []


def test_results_that_differ_are_not_timed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text_training, "TOLERANCE", -1.0)
    monkeypatch.setattr(sys, "argv", ["text_training.py", *TINY])
    assert text_training.main() == 1
    model = json.loads(capfd.readouterr().out.splitlines()[-1])["models"]["minilm"]
    assert not model["same"]
    assert "ways" not in model

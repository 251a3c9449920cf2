"""The benchmark of text training compares results before times, and ends with one JSON object."""

from pathlib import Path

import pytest

from tests.benchmarks.scripts import refuse_to_time, run_benchmark

pytestmark = pytest.mark.slow


@pytest.fixture
def tiny(prepared: Path) -> list[str]:
    """Options for few steps on the mini corpus's texts, which lie as MELD's do."""
    steps = ["--models", "minilm", "--rounds", "1", "--steps", "4", "--padded-batch", "1"]
    return ["--meld", str(prepared / "cache" / "mini"), *steps]


def test_text_training_times_three_ways(tiny: list[str], tmp_path: Path) -> None:
    model = run_benchmark("text_training", tiny, tmp_path / "here")["models"]["minilm"]
    assert model["same"]
    assert model["differences"]["logits"] < 1e-5
    ways = {name: way["median"] for name, way in model["ways"].items()}
    assert set(ways) == {"ours", "grouped", "padded"}
    assert all(way["utterances_per_s"] > 0 and way["share_of_peak"] > 0 for way in ways.values())
    assert ways["ours"]["padding"] < 0.5 < 0.9 < ways["padded"]["padding"]
    assert model["ways"]["padded"]["ours_faster"] > 0


def test_results_that_differ_are_not_timed(tiny: list[str], tmp_path: Path) -> None:
    model = refuse_to_time("text_training", tiny, tmp_path / "here")["models"]["minilm"]
    assert not model["same"]
    assert "ways" not in model

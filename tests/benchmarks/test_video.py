"""The benchmarks of frames run, compare results before times, and end with one JSON object."""

from pathlib import Path

import pytest

from benchmarks import decoding
from tests.benchmarks.scripts import refuse_to_time, run_benchmark

pytestmark = pytest.mark.slow
SCORING = ["--models", "tiny", "--rounds", "1", "--cached", "300"]


@pytest.fixture
def short(tmp_path: Path) -> list[str]:
    """Options for two clips of half a second."""
    (tmp_path / "durations.csv").write_text("clip,file_seconds_emobox\na,0.5\nb,\nc,0.6\n")
    return ["--durations", str(tmp_path / "durations.csv"), "--clips", "2", "--rounds", "1"]


def test_decoding_times_five_ways(short: list[str], tmp_path: Path) -> None:
    found = run_benchmark("decoding", short, tmp_path / "here")
    assert found["same"]
    assert max(found["differences"].values()) <= 2
    assert 1.0 <= found["seconds"] <= 1.2
    assert set(found["ways"]) == {"ours", "opencv", "opencv_uint8", "decord", "floor"}
    for way in found["ways"].values():
        assert way["units"] == 4
        assert way["wall_ms"] > 0
        assert way["cpu_ms"] > 0
        assert way["times_ours"] > 0


def test_clip_scoring_times_two_ways_and_new_prompts(tmp_path: Path) -> None:
    found = run_benchmark("clip_scoring", SCORING, tmp_path / "here")["models"]["tiny"]
    assert found["same"]
    assert max(found["differences"][name] for name in ("scores", "at_once")) < 1e-4
    assert set(found["ways"]) == {"ours", "pipeline"}
    assert all(
        way["wall_ms"] > 0 and way["cpu_ms"] > 0 and way["times_ours"] > 0
        for way in found["ways"].values()
    )
    assert {"text_ms", "clips_ms", "batches_ms", "at_once_ms"} <= set(found["new_prompts"])
    assert all(milliseconds > 0 for milliseconds in found["new_prompts"].values())


def test_without_durations_they_are_melds_percentiles() -> None:
    assert decoding.durations(None, 6) == [1.00, 1.77, 2.47, 3.56, 6.31, 1.00]


def test_frames_that_differ_are_not_timed(short: list[str], tmp_path: Path) -> None:
    found = refuse_to_time("decoding", short, tmp_path / "here")
    assert not found["same"]
    assert "ways" not in found


def test_scores_that_differ_are_not_timed(tmp_path: Path) -> None:
    found = refuse_to_time("clip_scoring", SCORING, tmp_path / "here")["models"]["tiny"]
    assert not found["same"]
    assert "ways" not in found
    assert "new_prompts" not in found

"""The benchmarks of frames run, compare results before times, and end with one JSON object."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import clip_scoring, decoding
from tests.running import CHECKOUT, environment

pytestmark = pytest.mark.slow
SCORING = ["--models", "tiny", "--rounds", "1", "--cached", "300"]


@pytest.fixture
def short(tmp_path: Path) -> list[str]:
    """Options for two clips of half a second."""
    (tmp_path / "durations.csv").write_text("clip,file_seconds_emobox\na,0.5\nb,\nc,0.6\n")
    return ["--durations", str(tmp_path / "durations.csv"), "--clips", "2", "--rounds", "1"]


def told(script: str, options: Sequence[str], folder: Path) -> dict[str, Any]:
    """What the script says in its last line, run in `folder`, which it leaves empty."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "benchmarks" / script), *options],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_decoding_times_five_ways(short: list[str], tmp_path: Path) -> None:
    found = told("decoding.py", short, tmp_path / "here")
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
    found = told("clip_scoring.py", SCORING, tmp_path / "here")["models"]["tiny"]
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


def refused(module: ModuleType, options: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "TOLERANCE", -1)
    monkeypatch.setattr(
        module, "one_thread", lambda threads: None
    )  # this process runs other tests too
    monkeypatch.setattr(sys, "argv", ["script.py", *options])
    return int(module.main())


def test_frames_that_differ_are_not_timed(
    short: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refused(decoding, short, monkeypatch) == 1
    found = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert not found["same"]
    assert "ways" not in found


def test_scores_that_differ_are_not_timed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert refused(clip_scoring, SCORING, monkeypatch) == 1
    found = json.loads(capfd.readouterr().out.splitlines()[-1])["models"]["tiny"]
    assert not found["same"]
    assert "ways" not in found
    assert "new_prompts" not in found

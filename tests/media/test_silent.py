"""Sound that is silent throughout: kept, and named in the corpus report."""

from pathlib import Path

import numpy as np
import pytest

from meld_lightning.corpus.report.markdown import render_media
from meld_lightning.media import media_report
from tests.media.test_not_finite import prepared, tone


@pytest.mark.slow
def test_clips_without_any_sound_in_them_are_named(tmp_path: Path) -> None:
    quiet = np.zeros(16000, np.float32)
    nearly = quiet.copy()
    nearly[8000] = 1e-4
    media, table = prepared(tmp_path, {"loud": tone(), "quiet": quiet, "nearly": nearly})
    report = media_report(media, table)
    assert report["silent"] == ["quiet"]
    assert report["counts"]["audio"] == {"test": 3}
    assert report["summary"].endswith("; silent throughout: 1 clip")
    report["counts"]["audio"] |= {"train": 0, "val": 0}
    text = "\n".join(render_media(report))
    assert "Sound that is silent throughout; it was kept: quiet." in text

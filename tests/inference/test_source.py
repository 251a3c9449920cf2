"""What a source of predictions is known by, which decides whether kept parts are used again."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from meld_lightning.inference.source import load_source


@pytest.mark.slow
def test_kept_parts_of_a_run_made_again_or_of_int8_are_not_reused(
    finished: Path, tmp_path: Path
) -> None:
    cache, again = finished.parents[2] / "cache", tmp_path / "runs" / "text-roberta" / finished.name
    shutil.copytree(finished, again)
    known = load_source(finished).digest
    assert load_source(again, cache=cache).digest == known
    assert load_source(again, cache=cache, int8=True).digest != known
    frame = pd.read_parquet(again / "logits" / "val.parquet")
    frame.loc[0, "logit.joy"] += 1
    frame.to_parquet(again / "logits" / "val.parquet")
    assert load_source(again, cache=cache).digest != known

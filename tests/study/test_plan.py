"""The runs and fusions that tables need: `from` and `sources` followed, studies merged in."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from meld_lightning.errors import UserError
from meld_lightning.study.plan import needed_fusions, needed_rows

Spec = dict[str, Any]


def test_rows_follow_from_and_sources(tables: Spec) -> None:
    rows = needed_rows(tables, tables)
    of_text = [(table, f"batch_{n}") for table in ("table_02", "table_04") for n in (8, 16, 32)]
    of_sound = [("table_08", row) for row in ("wav2vec2", "emotion_checkpoint", "mfcc")]
    assert set(rows) == {
        *of_text,
        *of_sound,
        *(("table_09", row) for row in ("clip", "clip_mean", "clip_probe")),
    }
    assert list(needed_rows(tables, ["figure_3"])) == list(needed_rows(tables, ["table_10"]))
    assert list(needed_fusions(tables, ["figure_3"])) == [("table_10", "T+A+V")]
    assert needed_fusions(tables, ["table_08"]) == {}
    assert rows["table_02", "batch_8"] == [
        "model=bert",
        "data.max_tokens=512",
        "data.batch_size=8",
        "optimizer.lr=2e-4",
        "optimizer.weight_decay=0.01",
    ]
    assert needed_rows(tables, ["table_01"]) == {}
    assert {table for table, _ in needed_rows(tables, ["table_06"])} == {"table_02"}
    assert set(needed_rows(tables, ["table_05", "table_04"])) == {
        key for key in rows if key[0] == "table_04"
    }
    with pytest.raises(
        UserError, match="no table 'table_9' .did you mean .*; tables: figure_1, figure_2"
    ):
        needed_rows(tables, ["table_9"])


def test_a_study_adds_and_leaves_out_rows_by_merging(tables: Spec) -> None:
    study = {"table_02": {"rows": {"own": ["model=minilm"], "batch_8": None}}}
    merged = OmegaConf.merge(OmegaConf.create(tables), study)
    needed = needed_rows(merged, ["table_03"])  # type: ignore[arg-type]
    assert [row for _, row in needed] == ["batch_16", "batch_32", "own"]

"""What conf/table/*.yaml declares: the seven tables, the paper's numbers, grids, and wrong
specs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from meld_lightning.errors import UserError
from meld_lightning.report.notes import NOTES
from meld_lightning.study.spec import (
    needed_cells,
    needed_fusions,
    read_tables,
    setting,
    table_cells,
)

CONF = Path(__file__).parents[2] / "conf" / "table"
PAPER = Path(__file__).parents[3] / "shared" / "paper" / "paper.txt"
Spec = dict[str, Any]


def test_ten_tables_and_three_figures_each_with_its_package_and_command(tables: Spec) -> None:
    figures = [f"figure_{number}" for number in range(1, 4)]
    assert list(tables) == [*figures, *(f"table_{number:02}" for number in range(1, 11))]
    for name in tables:
        first, second, *_ = (CONF / f"{name}.yaml").read_text().splitlines()
        assert first == f"# @package table.{name}"
        assert second == f"# meld-lightning reproduce tables=[{name}]"


def test_hydra_composes_them_side_by_side(tables: Spec) -> None:
    with initialize_config_dir(str(CONF.parent.resolve()), version_base="1.3"):
        composed = compose("common", [f"+table=[{','.join(tables)}]"])
    assert OmegaConf.to_container(composed.table) == tables
    assert read_tables(composed.table) == read_tables(tables)


def test_every_paper_entry_is_a_cell_and_every_cell_has_one(tables: Spec) -> None:
    for name, table in read_tables(tables).items():
        special = {
            "table_01": {"found"},
            "table_06": {"chosen"},
            "table_07": {"chosen"},
            "table_08": {"wav2vec2"},
            "table_09": {"clip"},
            "table_10": {"T", "A", "V", "average"},
        }
        assert set(table.paper) == special.get(name, set(table.cells))
        if table.kind == "runs" and not table.sources:
            assert all(set(figures) == set(table.metrics) for figures in table.paper.values())


@pytest.mark.skipif(not PAPER.is_file(), reason="../shared/paper/paper.txt is not there")
@pytest.mark.parametrize("name", [f"table_0{number}" for number in range(1, 8)])
def test_the_numbers_are_the_papers_as_printed(tables: Spec, name: str) -> None:
    """Every table's lines are rebuilt from its spec and looked up, in order, above its caption in
    the paper."""
    table = read_tables(tables)[name]
    lines = [" ".join(line.split()) for line in PAPER.read_text().splitlines()]
    caption = next(
        place for place, line in enumerate(lines) if line.startswith(f"Table {int(name[-2:])}: ")
    )
    block = [line for line in lines[caption - 8 : caption] if line]
    expected = [f"{model} {printed}" for model, printed in table.published.items()]
    for cell, figures in table.paper.items():
        settings = dict(one.split("=") for one in table.cells.get(cell) or [])
        shown = [settings[key] for key in table.columns] if name in ("table_02", "table_04") else []
        expected.append(" ".join([*shown, *figures.values()]))
    if name in ("table_06", "table_07"):
        expected[-1] = (
            f"Our fine-tuned {'BERT' if name == 'table_06' else 'RoBERTa'} Model {expected[-1]}"
        )
    if name == "table_01":
        expected = [f"No of Samples {expected[0]}"]
    assert block[-len(expected) :] == expected


def test_cells_follow_from(tables: Spec) -> None:
    cells = table_cells(tables)
    of_text = [(table, f"batch_{n}") for table in ("table_02", "table_04") for n in (8, 16, 32)]
    of_sound = [("table_08", cell) for cell in ("wav2vec2", "emotion_checkpoint", "mfcc")]
    assert set(cells) == {
        *of_text,
        *of_sound,
        *(("table_09", cell) for cell in ("clip", "clip_mean", "clip_probe")),
    }
    assert list(needed_cells(tables, ["figure_3"])) == list(needed_cells(tables, ["table_10"]))
    assert set(needed_fusions(tables, ["figure_3"])) == {
        ("table_10", cell) for cell in read_tables(tables)["table_10"].cells
    }
    assert needed_fusions(tables, ["table_08"]) == {}
    assert cells["table_02", "batch_8"] == [
        "model=bert",
        "data.max_tokens=512",
        "data.batch_size=8",
        "optimizer.lr=2e-4",
        "optimizer.weight_decay=0.01",
    ]
    assert needed_cells(tables, ["table_01"]) == {}
    assert {table for table, _ in needed_cells(tables, ["table_06"])} == {"table_02"}
    assert set(needed_cells(tables, ["table_05", "table_04"])) == {
        cell for cell in cells if cell[0] == "table_04"
    }
    with pytest.raises(UserError, match="no table 'table_9'.*did you mean"):
        needed_cells(tables, ["table_9"])


def test_a_study_adds_and_leaves_out_rows_by_merging(tables: Spec) -> None:
    study = {"table_02": {"cells": {"own": ["model=minilm"], "batch_8": None}}}
    merged = OmegaConf.merge(OmegaConf.create(tables), study)
    needed = needed_cells(merged, ["table_03"])  # type: ignore[arg-type]
    assert [cell for _, cell in needed] == ["batch_16", "batch_32", "own"]


def _grid(**extra: Any) -> Spec:
    return {"grid": {"title": "t", "metrics": {"val/accuracy": "acc"}, **extra}}


def test_product_spells_out_a_grid() -> None:
    axes = {
        "model": ["bert"],
        "data.batch_size": [8, 16],
        "optimizer.lr": [1e-5, 2e-4],
        "optimizer.fused": [True],
    }
    cells = table_cells(_grid(product=axes, cells={"extra": ["model=roberta"]}))
    assert list(cells) == [
        ("grid", "extra"),
        ("grid", "batch_size_8_lr_1e-5"),
        ("grid", "batch_size_8_lr_2e-4"),
        ("grid", "batch_size_16_lr_1e-5"),
        ("grid", "batch_size_16_lr_2e-4"),
    ]
    assert cells["grid", "batch_size_16_lr_1e-5"] == [
        "model=bert",
        "data.batch_size=16",
        "optimizer.lr=1e-5",
        "optimizer.fused=true",
    ]
    assert list(table_cells(_grid(product={"data.batch_size": [8], "optimizer.lr": [1e-5]}))) == [
        ("grid", "batch_size_8_lr_1e-5")
    ]


def test_settings_are_written_as_people_write_them() -> None:
    shown = [setting(value) for value in (2e-5, 1.5e-4, 0.01, 0.0, 16, True, None, "mean")]
    assert shown == ["2e-5", "1.5e-4", "0.01", "0", "16", "true", "null", "mean"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"celss": {}}, "grid.celss is not known (did you mean 'cells'?)"),
        ({"paper": {"own": {"val/accuracy": "0.5"}}}, "grid.paper.own is no cell of this table"),
        (
            {"cells": {"a": ["x=1"]}, "paper": {"a": {"val/f1": "0.5"}}},
            "grid.paper.a.val/f1 is no metric",
        ),
        (
            {"cells": {"a": ["x=1"]}, "paper": {"a": {"val/accuracy": 0.5}}},
            "grid.paper.a.val/accuracy is 0.5: quote it",
        ),
        ({"cells": {"a": "x=1"}}, "grid.cells.a is 'x=1', expected a list of key=value"),
        ({"cells": {"a": ["bert"]}}, "grid.cells.a is ['bert'], expected a list of key=value"),
        (
            {"cells": {"baseline": ["x=1"]}},
            "grid.cells.baseline is a key that the report uses itself",
        ),
        ({"cells": ["x=1"]}, "grid.cells is ['x=1'], expected a mapping"),
        (
            {"cells": {"x_1": ["x=2"]}, "product": {"x": [1]}},
            "grid.cells.x_1 is also made by `product`",
        ),
        ({"product": {"x": 1}}, "grid.product.x is 1, expected a list of values"),
        (
            {"product": {"a.x": [1, 2], "b.x": [1], "c": ["y", "y"]}},
            "grid.product makes the cell 'x_1_c_y' twice",
        ),
        ({"select": "max test/accuracy"}, "grid.select is 'max test/accuracy', expected"),
        ({"compare": "val/accuracy"}, "grid.compare is 'val/accuracy', expected"),
        ({"from": "grid_2"}, "grid.from is 'grid_2', expected a table that has cells of its own"),
        ({"notes": [99]}, "grid.notes names remark 99"),
        (
            {"kind": "corups"},
            "grid.kind is 'corups', expected runs, corpus or one of confusion, frames, diagram",
        ),
        ({"kind": "corpus"}, "grid.paper has no 'found'"),
        ({"metrics": {"train/fit_loss": "loss"}}, "grid.metrics score []"),
        (
            {"metrics": {"val/accuracy": "a", "test/accuracy": "b"}},
            "grid.metrics score ['test', 'val']",
        ),
        ({"title": None}, "grid.title is missing"),
    ],
)
def test_wrong_specs_say_what_is_wrong(spec: Spec, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        read_tables({"grid": {**_grid()["grid"], **spec}})


def test_a_table_borrows_cells_only_from_one_that_owns_them(tables: Spec) -> None:
    tables["table_06"]["from"] = "table_03"
    with pytest.raises(UserError, match="table_06.from is 'table_03'"):
        read_tables(tables)


def test_the_remarks_are_all_there_and_named_by_tables_that_exist(tables: Spec) -> None:
    assert list(NOTES) == list(range(1, 12))
    named = {number for table in read_tables(tables).values() for number in table.notes}
    assert named == set(NOTES)

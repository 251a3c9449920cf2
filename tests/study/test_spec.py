"""Table specs: grids, settings, and what is said of a wrong spec."""

from __future__ import annotations

import re
from typing import Any

import pytest

from meld_lightning.config.words import setting
from meld_lightning.errors import UserError
from meld_lightning.study.kinds import read_tables
from meld_lightning.study.plan import needed_rows

Spec = dict[str, Any]


def rows_of(tables: Spec) -> dict[tuple[str, str], list[str]]:
    return needed_rows(tables, tables)


def _grid(**extra: Any) -> Spec:
    return {"grid": {"title": "t", "metrics": {"val/accuracy": "acc"}, **extra}}


def test_product_spells_out_a_grid() -> None:
    axes = {
        "model": ["bert"],
        "data.batch_size": [8, 16],
        "optimizer.lr": [1e-5, 2e-4],
        "optimizer.fused": [True],
    }
    rows = rows_of(_grid(product=axes, rows={"extra": ["model=roberta"]}))
    assert list(rows) == [
        ("grid", "extra"),
        ("grid", "batch_size_8_lr_1e-5"),
        ("grid", "batch_size_8_lr_2e-4"),
        ("grid", "batch_size_16_lr_1e-5"),
        ("grid", "batch_size_16_lr_2e-4"),
    ]
    assert rows["grid", "batch_size_16_lr_1e-5"] == [
        "model=bert",
        "data.batch_size=16",
        "optimizer.lr=1e-5",
        "optimizer.fused=true",
    ]
    assert list(rows_of(_grid(product={"data.batch_size": [8], "optimizer.lr": [1e-5]}))) == [
        ("grid", "batch_size_8_lr_1e-5")
    ]


def test_settings_are_written_as_people_write_them() -> None:
    shown = [setting(value) for value in (2e-5, 1.5e-4, 1e-3, 0.01, 0.0, 16, True, None, "mean")]
    assert shown == ["2e-5", "1.5e-4", "1e-3", "0.01", "0", "16", "true", "null", "mean"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"rosw": {}}, "grid.rosw is not known (did you mean 'rows'?)"),
        ({"paper": {"own": {"val/accuracy": "0.5"}}}, "grid.paper.own is no row of this table"),
        (
            {"rows": {"a": ["x=1"]}, "paper": {"a": {"val/f1": "0.5"}}},
            "grid.paper.a.val/f1 is no metric of this table",
        ),
        (
            {"rows": {"a": ["x=1"]}, "paper": {"a": {"val/accuracy": 0.5}}},
            "grid.paper.a.val/accuracy is 0.5, expected text: put it in quotes",
        ),
        ({"rows": {"a": "x=1"}}, "grid.rows.a is 'x=1', expected a list of key=value"),
        ({"rows": {"a": ["bert"]}}, "grid.rows.a is ['bert'], expected a list of key=value"),
        (
            {"rows": {"baseline": ["x=1"]}},
            "grid.rows.baseline is a reserved key",
        ),
        ({"rows": ["x=1"]}, "grid.rows is ['x=1'], expected a mapping"),
        (
            {"rows": {"x_1": ["x=2"]}, "product": {"x": [1]}},
            "grid.rows.x_1 is also made by `product`",
        ),
        ({"product": {"x": 1}}, "grid.product.x is 1, expected a list of values"),
        (
            {"product": {"a.x": [1, 2], "b.x": [1], "c": ["y", "y"]}},
            "grid.product makes the row 'x_1_c_y' twice",
        ),
        ({"select": "max test/accuracy"}, "grid.select is 'max test/accuracy', expected"),
        ({"compare": "val/accuracy"}, "grid.compare is 'val/accuracy', expected"),
        ({"from": "grid_2"}, "grid.from is 'grid_2', expected a table with rows of its own"),
        (
            {"kind": "corups"},
            "grid.kind is 'corups', expected 'runs', 'corpus', 'confusion', 'frames', 'diagram',"
            " 'intervals', 'missing' or 'audit'",
        ),
        ({"kind": "corpus"}, "grid.paper has no 'found'"),
        ({"metrics": {"train/fit_loss": "loss"}}, "grid.metrics score []"),
        (
            {"metrics": {"val/accuracy": "a", "test/accuracy": "b"}},
            "grid.metrics score ['test', 'val']",
        ),
        ({"metrics": {"accuracy": "a"}}, "grid.metrics.accuracy is no metric, such as test/acc"),
        ({"metrics": {"val/a/b": "a"}}, "grid.metrics.val/a/b is no metric, such as test/accuracy"),
        ({"rows": {"a": 5}}, "grid.rows.a is 5, expected a list of key=value"),
        ({"from": ["grid"]}, "grid.from is ['grid'], expected a table with rows of its own"),
        ({"select": "max val/a/b"}, "grid.select is 'max val/a/b', expected 'max val/<metric>'"),
        (
            {"sources": {"text": "max val/loss of "}},
            "grid.sources.text is 'max val/loss of ', expected TABLE.ROW",
        ),
        (
            {"rows": {"a": []}, "sources": {"text": "grid.a"}},
            "grid.sources rests on itself: name rows of other tables",
        ),
        ({"title": None}, "grid.title is missing"),
        ({"percent": "yes"}, "grid.percent is 'yes', expected true or false"),
        ({"percent": True, "compare": "max val/accuracy"}, "grid.percent is true beside compare"),
        (
            {"percent": True, "rows": {"a": ["x=1"]}, "against": "a"},
            "grid.percent is true beside compare or against",
        ),
        ({"columns": {"seed": 1}}, "grid.columns.seed is 1, expected text: put it in quotes"),
        ({"notes": 3}, "grid.notes is 3, expected a list"),
        ({"folds": [0, -1]}, "grid.folds.1 is -1, expected at least 0"),
        ({"folds": [0, 1, 0]}, "grid.folds is [0, 1, 0], which names a fold twice"),
    ],
)
def test_wrong_specs_say_what_is_wrong(spec: Spec, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"table.{message}")):
        read_tables({"grid": {**_grid()["grid"], **spec}})


def test_tables_that_rest_on_each_other_are_refused() -> None:
    circle = {"a": "b.row", "b": "max val/accuracy of c", "c": "a.row"}
    specs = {
        name: {**_grid()["grid"], "rows": {"row": []}, "sources": {"text": source}}
        for name, source in circle.items()
    }
    with pytest.raises(UserError, match=r"^table\.a\.sources rests on itself through b, c: name"):
        read_tables(specs)


def test_a_table_is_a_mapping() -> None:
    with pytest.raises(UserError, match="^table.grid is 5, expected a mapping with a title$"):
        read_tables({"grid": 5})  # type: ignore[dict-item]


def test_a_table_borrows_rows_only_from_one_that_declares_them(tables: Spec) -> None:
    tables["table_06"]["from"] = "table_03"
    with pytest.raises(UserError, match="table_06.from is 'table_03'"):
        read_tables(tables)

"""The specs in conf/table/: ten tables and three figures of the paper, numbers as printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from meld_lightning.study.kinds import read_tables
from tests.study.conftest import TABLES

PAPER = Path(__file__).parents[3] / "shared" / "paper" / "paper.txt"
Spec = dict[str, Any]


def test_ten_tables_and_three_figures_each_with_its_package_and_command(tables: Spec) -> None:
    figures = [f"figure_{number}" for number in range(1, 4)]
    assert list(tables) == [*figures, *(f"table_{number:02}" for number in range(1, 11))]
    for name in tables:
        first, second, *_ = (TABLES / f"{name}.yaml").read_text().splitlines()
        assert first == f"# @package table.{name}"
        assert second == f"# meld-lightning reproduce tables=[{name}]"


def test_hydra_composes_them_side_by_side(tables: Spec) -> None:
    with initialize_config_dir(str(TABLES.parent.resolve()), version_base="1.3"):
        composed = compose("common", [f"+table=[{','.join(tables)}]"])
    assert OmegaConf.to_container(composed.table) == tables
    assert read_tables(composed.table) == read_tables(tables)


def test_every_paper_entry_is_a_row_and_every_row_has_one(tables: Spec) -> None:
    for name, table in read_tables(tables).items():
        special = {
            "table_01": {"found"},
            "table_06": {"chosen"},
            "table_07": {"chosen"},
            "table_08": {"wav2vec2"},
            "table_09": {"clip"},
            "table_10": {"T", "A", "V", "average"},
        }
        assert set(table.paper) == special.get(name, set(table.rows))
        if table.kind == "runs" and not table.sources:
            assert all(set(figures) == set(table.metrics) for figures in table.paper.values())


@pytest.mark.skipif(not PAPER.is_file(), reason="../shared/paper/paper.txt is not there")
@pytest.mark.parametrize("name", [f"table_0{number}" for number in range(1, 8)])
def test_the_numbers_are_the_papers_as_printed(tables: Spec, name: str) -> None:
    """Each table's lines, rebuilt from its spec, are those above its caption in the paper."""
    table = read_tables(tables)[name]
    lines = [" ".join(line.split()) for line in PAPER.read_text().splitlines()]
    caption = next(
        place for place, line in enumerate(lines) if line.startswith(f"Table {int(name[-2:])}: ")
    )
    block = [line for line in lines[caption - 8 : caption] if line]
    expected = [f"{model} {printed}" for model, printed in table.published.items()]
    for row, figures in table.paper.items():
        settings = dict(one.split("=") for one in table.rows.get(row) or [])
        shown = [settings[key] for key in table.columns] if name in ("table_02", "table_04") else []
        expected.append(" ".join([*shown, *figures.values()]))
    if name in ("table_06", "table_07"):
        expected[-1] = (
            f"Our fine-tuned {'BERT' if name == 'table_06' else 'RoBERTa'} Model {expected[-1]}"
        )
    if name == "table_01":
        expected = [f"No of Samples {expected[0]}"]
    assert block[-len(expected) :] == expected

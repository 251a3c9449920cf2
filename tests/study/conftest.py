"""The table specs of conf/table/."""

from pathlib import Path
from typing import Any

import pytest
import yaml

TABLES = Path(__file__).parents[2] / "conf" / "table"


def table_specs() -> dict[str, Any]:
    """Every spec of conf/table/ by name, as the composed `table` node holds them."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted(TABLES.glob("*.yaml"))}


@pytest.fixture
def tables() -> dict[str, Any]:
    return table_specs()

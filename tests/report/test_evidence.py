"""The committed evidence renders to the committed tables, figure by figure and byte by byte, where
nothing else is: no corpus, no cache, no runs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.page.rendered import rendered
from tests.running import CHECKOUT

EXPERIMENTS = CHECKOUT / "experiments"
# `reproduce` of the mini study writes beside the committed ones; git ignores what it writes
COMMITTED = sorted(path.name for path in EXPERIMENTS.iterdir() if path.name != "mini")


def figures(path: Path) -> list[tuple[str, ...]]:
    """What results.csv says, but for the identities of the runs."""
    with path.open(newline="") as file:
        return [
            tuple(value for name, value in line.items() if name != "run")
            for line in csv.DictReader(file)
        ]


@pytest.mark.slow
@pytest.mark.parametrize("study", COMMITTED)
def test_the_evidence_renders_to_the_committed_tables(
    study: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    committed = EXPERIMENTS / study
    found = rendered(study, tmp_path_factory) / "experiments" / study
    tables = sorted(path.relative_to(committed) for path in committed.glob("*/results.csv"))
    assert tables == sorted(path.relative_to(found) for path in found.glob("*/results.csv"))
    assert tables
    for path in tables:
        assert figures(found / path) == figures(committed / path), path
    for path in [committed / "README.md", *committed.glob("*/*.*")]:
        if path.parent.name != "runs":
            name = path.relative_to(committed)
            assert (found / name).read_bytes() == path.read_bytes(), name

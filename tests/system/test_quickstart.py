"""docs/quickstart.ipynb runs from top to bottom, and is committed without outputs.

Its trainings are those of docs/start.md, whose finished runs it reads.
"""

import importlib.util
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.running import CHECKOUT, HANGS_S, environment

NOTEBOOK = CHECKOUT / "docs/quickstart.ipynb"
needs_notebooks = pytest.mark.skipif(
    any(importlib.util.find_spec(one) is None for one in ("nbclient", "ipykernel")),
    reason="needs pip install nbclient ipykernel",
)


def test_the_notebook_is_committed_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert [cell["outputs"] for cell in cells if cell.get("outputs")] == []


@pytest.mark.slow
@needs_notebooks
def test_the_notebook_runs(
    over_started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    command = tmp_path / "bin/meld-lightning"  # this interpreter's, whatever is installed
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m meld_lightning "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    read: Any = nbformat.read  # it has types in some versions only
    notebook = read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=HANGS_S, resources={"metadata": {"path": str(over_started)}}
    ).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in shown)
    tables = [one["data"]["text/html"] for one in shown if "text/html" in one.get("data", {})]
    assert "decided by: text" in printed
    assert "meld-lightning: " not in printed  # what a refused command begins with
    assert any("weighted_f1" in table for table in tables)
    assert any("share.audio" in table for table in tables)
    assert any("image/png" in one.get("data", {}) for one in shown)

"""docs/quickstart.ipynb runs from top to bottom, and is committed without outputs.

Its trainings are those of docs/start.md, whose finished runs it reads.
"""

import importlib.util
import json
import os
import stat
import sys
from multiprocessing.connection import Listener
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.running import CHECKOUT, HANGS_S, argv, environment, run

NOTEBOOK = CHECKOUT / "docs/quickstart.ipynb"
needs_notebooks = pytest.mark.skipif(
    any(importlib.util.find_spec(one) is None for one in ("nbclient", "ipykernel")),
    reason="needs pip install nbclient ipykernel",
)

# `meld-lightning` on the notebook's path: five interpreters that import torch would take most of
# the test's time
ASKS = """
import os, sys
from multiprocessing.connection import Client
with Client({address!r}) as process:
    process.send((sys.argv[1:], os.getcwd()))
    status, out, err = process.recv()
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(status)
"""


def answer(listener: Listener) -> None:
    """Runs each command that is asked for in a forked process."""
    while True:
        with listener.accept() as asked:
            arguments, folder = asked.recv()
            done = run(argv(*arguments), Path(folder))
            asked.send((done.returncode, done.stdout, done.stderr))


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

    command = tmp_path / "bin/meld-lightning"
    command.parent.mkdir()
    address = str(tmp_path / "commands")
    command.write_text(f"#!{sys.executable} -S\n{ASKS.format(address=address)}")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    Thread(target=answer, args=(Listener(address),), daemon=True).start()
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

"""Runs a script of benchmarks/ for the tests of its last line.

The script and its measurements are forked from a process that has imported the libraries: each
import takes seconds of CPU, and a benchmark starts up to seven processes.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.running import run

SCRIPT = """
import sys
from benchmarks import {script}, side_by_side
side_by_side.START = "fork"
{change}
sys.exit({script}.main())
"""


def run_benchmark(
    script: str, arguments: Sequence[str], folder: Path, change: str = "", status: int = 0
) -> dict[str, Any]:
    """The JSON object in the last line of `benchmarks/SCRIPT.py ARGUMENTS`, run in a new `folder`,
    which it has to leave empty.

    change: a statement that is executed before the script. status: the expected exit status.
    """
    folder.mkdir()
    code = SCRIPT.format(script=script, change=change)
    done = run([sys.executable, "-c", code, *arguments], folder)
    assert done.returncode == status, done.stderr
    assert list(folder.iterdir()) == []
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def refuse_to_time(script: str, arguments: Sequence[str], folder: Path) -> dict[str, Any]:
    """The JSON object of a benchmark for which no difference between results is small enough."""
    return run_benchmark(script, arguments, folder, f"{script}.TOLERANCE = -1.0", status=1)

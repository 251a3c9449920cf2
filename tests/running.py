"""Runs the command line for real, as a user would: shared by the tests that do."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., subprocess.CompletedProcess[str]]

CHECKOUT = Path(__file__).parents[1]


def environment() -> dict[str, str]:
    """This process's, with the checkout importable and one thread a process: tests share a
    machine."""
    return {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "",
    }


def argv(*arguments: str) -> list[str]:
    """The command line of `meld-lightning ARGUMENTS` with this interpreter."""
    return [sys.executable, "-m", "meld_lightning", *arguments]


def folder_over(prepared: Path, target: Path) -> Path:
    """A folder of its own over the same cache."""
    target.mkdir(exist_ok=True)
    (target / "cache").symlink_to(prepared / "cache")
    return target

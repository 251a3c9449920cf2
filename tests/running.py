"""Runs the command line for real, as a user would: shared by the tests that do."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., subprocess.CompletedProcess[str]]

CHECKOUT = Path(__file__).parents[1]
HANGS_S = 600  # after these seconds a process is taken for hung; no test is about speed


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


def start_and_kill(
    arguments: list[str],
    folder: Path,
    after_s: float,
    sign: signal.Signals,
    waiting_for: str = "checkpoints/last.ckpt",
) -> int:
    """Starts a run, waits for a file and `after_s` more, kills the run and its workers; gives its
    status."""
    process = subprocess.Popen(
        argv(*arguments),
        cwd=folder,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + HANGS_S
    while not list(folder.glob(f"runs/*/*/{waiting_for}")):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline, f"no {waiting_for}, ever"
        time.sleep(0.01)
    time.sleep(after_s)
    if sign == signal.SIGKILL:
        os.killpg(process.pid, sign)
    else:
        process.send_signal(sign)
    return process.wait(HANGS_S)

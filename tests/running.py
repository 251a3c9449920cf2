"""Runs the command line for real, as a user would: shared by the tests that do.

`call` runs a command to its end in this process, which has imported what commands need; `start` and
`run` give it a process of its own, for tests that kill it or run something beside it.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from filelock import FileLock

from tests.forked import Forked

Command = Callable[..., subprocess.CompletedProcess[str]]

CHECKOUT = Path(__file__).parents[1]
HANGS_S = 1800  # after these seconds a process is taken for hung; no test is about speed


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


def shared(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]
) -> Path:
    """A folder that one of pytest's processes fills for all of them."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").is_file():
            folder.mkdir(exist_ok=True)
            make(folder)
            (folder / "done").touch()
    return folder


def call(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs `meld-lightning ARGUMENTS` in `folder`, in this process, to its end."""
    import torch

    from meld_lightning.commands.cli import main
    from meld_lightning.training.signals import stop_request

    out, err = io.StringIO(), io.StringIO()
    threads, exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    printed = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    try:
        with contextlib.chdir(folder), printed[0], printed[1]:
            status = main(arguments)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(exact)
        stop_request.cache_clear()  # a process is stopped once; this one goes on
    return subprocess.CompletedProcess(list(arguments), status, out.getvalue(), err.getvalue())


def call_well(arguments: Sequence[str], folder: Path) -> None:
    """Runs `meld-lightning ARGUMENTS` in this process; it has to end well."""
    done = call(arguments, folder)
    assert done.returncode == 0, done.stderr


def start(command: Sequence[str], folder: Path, **variables: str) -> Forked:
    """Starts a command line in `folder`, with these environment variables besides."""
    return Forked(command, folder, {**environment(), **variables})


def run(command: Sequence[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command line in `folder` to its end, whatever that is."""
    process = start(command, folder, **variables)
    status = process.wait(HANGS_S)
    return subprocess.CompletedProcess(command, status, process.stdout, process.stderr)


def run_well(command: Sequence[str], folder: Path, **variables: str) -> None:
    """Runs a command line in `folder`; it has to end well."""
    done = run(command, folder, **variables)
    assert done.returncode == 0, done.stderr


def until(seen: Callable[[], object], process: Forked, what: str) -> None:
    """Waits until something is seen while a process runs."""
    deadline = time.monotonic() + HANGS_S
    while not seen():
        assert process.poll() is None, f"ended before {what}: {process.stderr}"
        assert time.monotonic() < deadline, f"never {what}"
        time.sleep(0.01)


def start_and_kill(
    arguments: Sequence[str],
    folder: Path,
    after_s: float,
    sign: signal.Signals,
    waiting_for: str = "checkpoints/last.ckpt",
) -> int:
    """Starts a run, waits for a file and `after_s` more, and kills the run (by SIGKILL its workers
    too); gives its status."""
    process = start(argv(*arguments), folder)
    until(lambda: list(folder.glob(f"runs/*/*/{waiting_for}")), process, f"{waiting_for} is there")
    time.sleep(after_s)
    if sign == signal.SIGKILL:
        os.killpg(process.pid, sign)
    else:
        process.send_signal(sign)
    status = process.wait(HANGS_S)
    assert not list(folder.glob("runs/*/*/result.json")), (
        "finished before it was killed: the test says nothing"
    )
    return status

"""A real Slurm of two nodes on this machine, and sweeps run on it as a user would."""

import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running import HANGS_S, argv, environment, folder_over
from tests.system.cluster.jobs import TEXT, slurm

SCRIPT = Path(__file__).with_name("slurm.sh")
SMALL_JOBS = [
    "hydra/launcher=slurm",
    "hydra.launcher.gpus=0",
    "hydra.launcher.cpus=1",
    "hydra.launcher.memory_gb=1.4",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("long"):
            item.add_marker("cluster")


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """Slurm is up, and down again afterwards unless it was up before."""
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("a Slurm of its own is brought up by root on Debian alone")
    was_up = (
        shutil.which("scontrol") is not None
        and slurm("scontrol", "ping", check=False).count("UP") > 0
    )
    subprocess.run([SCRIPT, "up"], check=True)
    yield
    if not was_up:
        subprocess.run([SCRIPT, "down"], check=True)


class Client:
    """`meld-lightning ARGUMENTS` as a process of its own, in `folder`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.said = (folder / f"client-{time.monotonic_ns()}.txt").open("w+")
        self.process = subprocess.Popen(
            argv(*arguments),
            cwd=folder,
            env=environment(),
            stdout=self.said,
            stderr=subprocess.STDOUT,
        )

    def wait(self, timeout: float = 2 * HANGS_S) -> tuple[int, str]:
        """Status and output."""
        return self.process.wait(timeout), self.text()

    def text(self) -> str:
        """What it has said so far."""
        return Path(self.said.name).read_text()

    def until(self, seen: Callable[[], object], timeout: float = HANGS_S) -> None:
        """Waits for something to be seen while the client runs."""
        deadline = time.monotonic() + timeout
        while not seen():
            assert self.process.poll() is None, self.wait()[1]
            assert time.monotonic() < deadline, "not seen in time"
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def client(cluster: None) -> Iterator[Callable[..., Client]]:
    """Starts clients; what they leave in the queue is cancelled."""
    started: list[Client] = []

    def start(folder: Path, *arguments: str) -> Client:
        started.append(Client(folder, *arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()
    slurm("scancel", "--user=root", check=False)
    deadline = time.monotonic() + HANGS_S
    while slurm("squeue", "--noheader") and time.monotonic() < deadline:
        time.sleep(0.5)


@pytest.fixture(scope="session")
def calm(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of the same sweep, undisturbed, by the local launcher on this machine."""

    @functools.cache
    def run(*arguments: str) -> Path:
        folder = folder_over(prepared, tmp_path_factory.mktemp("calm"))
        asked = argv(*TEXT, *arguments, "hydra/launcher=local")
        done = subprocess.run(
            asked, cwd=folder, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return folder

    return run

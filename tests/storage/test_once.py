"""One process makes something while the others wait, and nothing is locked where nothing has to be
made."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from meld_lightning.storage import once
from meld_lightning.storage.once import ReadOnlyFolder, locked, made_once

MAKER = """
import sys, time
from pathlib import Path
from meld_lightning.storage.once import made_once
folder = Path(sys.argv[1])

def make():
    time.sleep(0.3)
    with (folder / "made.txt").open("a") as file:
        file.write("once\\n")

print("ready", flush=True)
while not (folder / "go").exists():
    time.sleep(0.001)
made_once(folder / "made.lock", (folder / "made.txt").is_file, make)
"""


@pytest.mark.slow
def test_of_three_processes_one_makes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKER, str(tmp_path)]
    started = [subprocess.Popen(command, text=True, stdout=subprocess.PIPE) for _ in range(3)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    for process in started:
        process.communicate(timeout=60)
    assert [process.returncode for process in started] == [0] * 3
    assert (tmp_path / "made.txt").read_text() == "once\n"


def test_nothing_is_locked_where_nothing_has_to_be_made(tmp_path: Path) -> None:
    assert made_once(tmp_path / "x.lock", lambda: True, lambda: pytest.fail("made again"))
    assert list(tmp_path.iterdir()) == []


def test_it_need_not_wait_for_a_lock_that_another_process_holds(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with locked(lock):
        assert not made_once(lock, lambda: False, lambda: pytest.fail("not ours"), wait=False)
    made: list[int] = []
    assert made_once(lock, lambda: bool(made), lambda: made.append(1), wait=False)
    assert made == [1]


def test_a_failure_releases_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"

    def fail() -> None:
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        made_once(lock, lambda: False, fail)
    assert made_once(lock, lambda: False, lambda: None, wait=False)


def test_a_read_only_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so the system's answer is given here."""

    class Refusing:
        def __init__(self, lock: Path) -> None:
            self.lock = lock

        def acquire(self, timeout: float) -> None:
            raise PermissionError(13, "Permission denied", str(self.lock))

    monkeypatch.setattr(once, "FileLock", Refusing)
    with pytest.raises(ReadOnlyFolder) as error:
        made_once(tmp_path / "x.lock", lambda: False, lambda: pytest.fail("made"))
    assert error.value.filename == str(tmp_path)


def test_waiting_is_logged_once(tmp_path: Path) -> None:
    holder = f"""
import time
from pathlib import Path
from meld_lightning.storage.once import locked
with locked(Path({str(tmp_path / "x.lock")!r})):
    print("held", flush=True)
    time.sleep(1.0)
"""
    process = subprocess.Popen([sys.executable, "-c", holder], text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    said: list[str] = []
    with locked(tmp_path / "x.lock", lambda: said.append("waiting")):
        assert process.wait(timeout=30) == 0
    with locked(tmp_path / "x.lock", lambda: said.append("waiting for nobody")):
        time.sleep(0)
    assert said == ["waiting"]

"""Every command of the README, run in its order in a fresh clone, as a newcomer would.

The clone gets the cache that `with_clips` has prepared from nothing, which takes minutes.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.running import CHECKOUT, folder_over

pytestmark = pytest.mark.slow

README = (CHECKOUT / "README.md").read_text()
MELD = CHECKOUT.parent / "shared" / "data" / "meld"
OF_AN_OUTER_MAKE = {
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
    "MAKEOVERRIDES",
    "ARGS",
    "STUDY",
    "MELD_ROOT",
    "CORPUS_ROOT",
}
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.splitlines()
]


def clone(folder: Path) -> Path:
    """The committed tree and what is changed in it, with this checkout's environment standing in
    for `make setup`."""
    subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(folder)], check=True)
    list_changed = ["git", "ls-files", "--modified", "--others", "--exclude-standard"]
    changed = subprocess.run(list_changed, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    for name in changed.stdout.splitlines():
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CHECKOUT / name, folder / name)
    (folder / ".venv").mkdir()
    for entry in (CHECKOUT / ".venv").iterdir():
        if entry.name != "installed":
            (folder / ".venv" / entry.name).symlink_to(entry)
    (folder / ".venv" / "installed").touch()
    return folder


def manifest(path: Path) -> None:
    words = {
        "glad": "What a lovely day",
        "cross": "Leave me alone",
        "plain": "The train leaves at nine",
    }
    lines = [
        f"d{dialogue}u{turn},{text} number {turn},{emotion},Ann,d{dialogue}"
        for dialogue in range(12)
        for turn, (emotion, text) in enumerate(words.items())
    ]
    path.write_text("\n".join(["id,text,emotion,speaker,dialogue", *lines]) + "\n")


def test_every_command_of_the_readme_works(with_clips: Path, tmp_path: Path) -> None:
    folder = folder_over(with_clips, clone(tmp_path / "clone"))
    manifest(folder / "my_utterances.csv")
    commands = [
        command for command in COMMANDS if command != "make test"
    ]  # that is what .ci/run runs first
    assert len(commands) == len(COMMANDS) - 1 >= 9
    environment = {
        name: value for name, value in os.environ.items() if name not in OF_AN_OUTER_MAKE
    }
    environment["PATH"] = f"{folder / '.venv' / 'bin'}:{environment['PATH']}"
    for command in commands:
        if "/data/MELD" in command:
            if not MELD.is_dir():
                continue
            command = command.replace("/data/MELD", str(MELD))
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    rendered = (folder / "experiments" / "mini" / "README.md").read_text()
    assert [number for number in range(1, 99) if f"## Table {number}:" in rendered] == list(
        range(1, 11)
    )
    assert [number for number in range(1, 99) if f"figure_{number}/figure.png" in rendered] == [
        1,
        2,
        3,
    ]
    assert "missing" not in rendered
    assert "Not drawn" not in rendered
    if MELD.is_dir():
        table = (folder / "experiments" / "meld_minilm" / "table_01" / "table.md").read_text()
        assert all(number in table for number in ("9989", "1109", "2610"))

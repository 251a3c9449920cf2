"""The Makefile: help lists every target, MELD_ROOT survives odd characters, set-up says in one line
what it lacks."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from tests.running import HANGS_S

ROOT = Path(__file__).parents[2]
HANDED_DOWN = {
    "MAKEFLAGS",
    "MAKEOVERRIDES",
    "MAKELEVEL",
    "MFLAGS",
    "PYTHON",
    "STUDY",
    "MELD_ROOT",
    "LAUNCHER",
    "ARGS",
}

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs make as if from a shell, also where `make test` runs these tests: that hands its own
    variables down."""
    process = start_make(*arguments, folder=folder)
    stdout, stderr = process.communicate(timeout=HANGS_S)
    return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)


def start_make(*arguments: str, folder: Path) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if name not in HANDED_DOWN}
    return subprocess.Popen(
        ["make", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout in which nothing has been installed."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def python(folder: Path, *lines: str) -> str:
    """A stand-in for a Python that lacks something; its path, for PYTHON=."""
    script = folder / "stand-in"
    script.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    script.chmod(0o755)
    return str(script)


def test_help_is_the_default_and_lists_every_target() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(targets) == {
        "help",
        "setup",
        "test",
        "lint",
        "docs",
        "data",
        "reproduce-tables",
        "sweep",
        "demo",
        "dashboards",
        "bench",
        "clean",
    }
    shown = make()
    assert shown.returncode == 0
    assert [line.split()[1] for line in shown.stdout.splitlines()] == targets
    assert all(len(line.split()) > 3 for line in shown.stdout.splitlines())


@pytest.mark.parametrize(
    "root", ["/data/MELD", "/data/my MELD (old), [raw]", "/data/Ross's $HOME=x\\y"]
)
@pytest.mark.parametrize("target", ["data", "reproduce-tables", "sweep"])
def test_meld_root_reaches_hydra_unharmed(bare: Path, target: str, root: str) -> None:
    received = bare / "received"
    interpreter = bare / ".venv/bin/python"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" > "{received}"\n')
    interpreter.chmod(0o755)
    (bare / ".venv/installed").touch()
    done = make(target, "STUDY=meld", "MELD_ROOT=" + root.replace("$", "$$"), folder=bare)
    assert done.returncode == 0, done.stderr
    arguments = received.read_text().rstrip("\0").split("\0")
    overrides = OverridesParser.create().parse_overrides(
        [a for a in arguments[3:] if not a.startswith("--")]
    )
    values = {override.key_or_group: override.value() for override in overrides}
    assert values["corpus.root"] == root
    assert values["study"] == "meld"


def test_a_sweep_prepares_with_those_arguments_that_prepare_takes() -> None:
    asked = "ARGS=logger=wandb paths.cache=/cache hydra.launcher.partition=gpu"
    lines = make("-n", "sweep", asked).stdout.splitlines()
    prepare, train = [line.split()[3:] for line in lines if "-m meld_lightning" in line]
    assert prepare == ["prepare", "study=mini", "paths.cache=/cache"]
    assert train[0] == "train"
    assert set(train) >= {"logger=wandb", "paths.cache=/cache", "hydra.launcher.partition=gpu"}


@pytest.mark.parametrize(
    ("asked", "fetch", "prepare"),
    [
        (["FETCH=1"], ["clips=true", "accept=false"], "study=meld"),
        (["FETCH=text", "ACCEPT=true"], ["clips=false", "accept=true"], "study=meld_minilm"),
        (["FETCH=1", "STUDY=own"], ["clips=true", "accept=false"], "study=own"),
    ],
)
def test_fetch_gets_meld_before_it_is_prepared(
    asked: list[str], fetch: list[str], prepare: str
) -> None:
    lines = make("-n", "data", *asked).stdout.splitlines()
    first, second = [line.split()[3:] for line in lines if "-m meld_lightning" in line]
    assert first == ["fetch", '"$FETCH_TO"', *fetch]
    assert second == ["prepare", prepare, '"$CORPUS_ROOT"']


def test_fetch_of_something_else_is_refused_in_one_line() -> None:
    assert "FETCH=yes: expected 1" in make("-n", "data", "FETCH=yes").stderr
    assert "give another STUDY" in make("-n", "data", "FETCH=1", "STUDY=mini").stderr


def test_without_meld_root_no_corpus_root_is_passed() -> None:
    assert "corpus" not in make("-n", "reproduce-tables").stdout


def test_old_python_is_one_clear_line(bare: Path) -> None:
    done = make("setup", f"PYTHON={python(bare, 'exit 1')}", folder=bare)
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stdout
    assert not (bare / ".venv").exists()


def test_interrupted_install_is_begun_again_and_a_finished_one_is_not(bare: Path) -> None:
    # Stands in for Python: "installs" by logging, and is killed once in the middle of pip.
    stand_in = python(
        bare,
        'echo "$*" >> log',
        'case "$*" in',
        '  "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python;;',
        '  "-m pip "*) if [ ! -e second ]; then touch second .venv/half; kill -9 $PPID; fi;;',
        "esac",
    )
    assert make("setup", f"PYTHON={stand_in}", folder=bare).returncode != 0
    assert not (bare / ".venv/installed").exists()
    healed = make("setup", f"PYTHON={stand_in}", folder=bare)
    assert healed.returncode == 0, healed.stderr
    assert "cut short" in healed.stdout
    assert not (bare / ".venv/half").exists()
    before = (bare / "log").read_text()
    assert make("setup", f"PYTHON={stand_in}", folder=bare).returncode == 0
    assert (bare / "log").read_text() == before
    os.utime(bare / ".venv/installed", (1, 1))  # older than the constraints
    assert "Installing" in make("setup", f"PYTHON={stand_in}", folder=bare).stdout


def test_two_makes_at_once_install_once(bare: Path) -> None:
    stand_in = python(
        bare,
        'echo "$*" >> log',
        'case "$*" in',
        '  "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python;;',
        '  "-m pip "*) touch begun; while [ ! -e go ]; do sleep 0.05; done;;',
        "esac",
    )
    both = [start_make("setup", f"PYTHON={stand_in}", folder=bare)]
    while not (bare / "begun").exists():
        assert both[0].poll() is None
        time.sleep(0.01)
    both.append(start_make("setup", f"PYTHON={stand_in}", folder=bare))
    assert both[1].stdout
    told = both[1].stdout.readline()
    (bare / "go").touch()
    assert [process.wait(HANGS_S) for process in both] == [0, 0]
    assert told == "Another make is installing into .venv: waiting for it ...\n"
    assert (bare / "log").read_text().count("-m pip install") == 1

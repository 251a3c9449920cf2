"""The wheel holds what an installed package needs, and works away from the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built without isolation, and so without a network: hatchling is among the dev extra."""
    pytest.importorskip("hatchling", reason="the extra 'dev' is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
    ]
    subprocess.run([*pip, str(ROOT)], check=True)
    return next(folder.glob("meld_lightning-*.whl"))


def in_checkout(folder: str, pattern: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob(pattern)}


def test_wheel_holds_package_conf_launchers_and_licence_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"meld_lightning/{name}" for name in in_checkout("conf", "*.yaml")} <= names
    assert in_checkout("meld_lightning", "*.py") <= names
    assert "meld_lightning/py.typed" in names
    assert in_checkout("hydra_plugins", "*.py") <= names
    assert "hydra_plugins/__init__.py" not in names  # a namespace that Hydra's own plugins share
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        "meld_lightning",
        "hydra_plugins",
    }
    assert not [name for name in names if "__pycache__" in name]


def test_installed_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
    ]
    subprocess.run([*pip, str(wheel)], check=True)
    # PYTHONPATH comes before the checkout, which an editable install appends.
    command = [sys.executable, "-m", "meld_lightning", "train", "--help"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "hub, [mini], minilm" in done.stdout
    where = subprocess.run(
        [
            sys.executable,
            "-c",
            "import meld_lightning.config.tree as c; print(c.__file__, c.conf_dir())",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(ROOT) not in where.stdout

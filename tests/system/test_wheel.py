"""The wheel holds what an installed package needs, and works away from the checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.running import argv, run, run_well

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


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed. On PYTHONPATH it comes before the checkout, which an editable install
    appends."""
    folder = tmp_path_factory.mktemp("site")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(folder),
    ]
    subprocess.run([*pip, str(wheel)], check=True)
    return folder


LOGITS = """
import json, sys, torch, meld_lightning
from meld_lightning.data.text import TextBatch
from meld_lightning.inference.loaded import load_model
loaded = load_model(sys.argv[1])
tokens = loaded.processor(["oh no", "I am so happy!"], padding=True, return_tensors="pt")
mask, zeros = tokens["attention_mask"], torch.zeros(2, dtype=torch.long)
batch = TextBatch(tokens["input_ids"], mask, mask.bool(), zeros, zeros, zeros, zeros)
with torch.no_grad():
    print(json.dumps([meld_lightning.__file__, loaded.module(batch).tolist()]))
"""


def test_an_export_gives_the_same_logits_in_another_environment(
    finished: Path, site: Path, tmp_path: Path
) -> None:
    run_well(argv("export", f"from={finished}", f"to={tmp_path / 'model'}"), tmp_path)
    shutil.move(tmp_path / "model", tmp_path / "elsewhere")
    (tmp_path / "home").mkdir()
    away = {"PYTHONPATH": str(site), "HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}

    command = [sys.executable, "-c", LOGITS]
    own = run([*command, str(finished)], tmp_path)
    assert own.returncode == 0, own.stderr
    done = subprocess.run(
        [*command, str(tmp_path / "elsewhere")],
        cwd=tmp_path, env=os.environ | away, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (here, own_NC), (there, found_NC) = (
        json.loads(one.stdout.splitlines()[-1]) for one in (own, done)
    )
    assert (Path(here).is_relative_to(ROOT), Path(there).is_relative_to(site)) == (True, True)
    np.testing.assert_allclose(found_NC, own_NC, atol=1e-5)


def test_installed_wheel_works_away_from_the_checkout(site: Path, tmp_path: Path) -> None:
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

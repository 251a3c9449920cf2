"""The keys that a class takes, read from its source with types, defaults and documentation."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pytest
from pydantic import Field

from meld_lightning.config.modules import is_library
from meld_lightning.config.signatures import NO_DEFAULT, parameters
from meld_lightning.errors import Preempted, UserError
from tests.running import environment

BASE = '''
from typing import Annotated, Literal
from pydantic import Field

Kind = Literal["soft", "hard"]
WIDTH = 8

class Base:
    """A base.

    Args:
        rate: how often,
            over two lines.
        kind, other: shared by two.
    """

    def __init__(self, rate: Annotated[float, Field(ge=0)] = 0.5, kind: Kind = "soft", *, rows):
        raise RuntimeError("never imported, never called")
'''

DERIVED = '''
import torch
import no_such_module
from toy_base import WIDTH, Base, Kind

class Derived(Base):
    """A class.

    Args:
        width: of the layer.
    """

    def __init__(self, name: str, width: int = WIDTH * 2, where: torch.Tensor | None = None,
                 speeds: "tuple[float, ...]" = (), *, labels, dry: bool = False, **options):
        super().__init__(**options)

class Alone(Base):
    def __init__(self, name: str):
        super().__init__()

class Heir(Base):
    pass

class Settled(Base):
    def __init__(self, name: str, **options):
        super().__init__(kind="hard", **options)

def make(path: str, kind: Kind = "hard", *, identity):
    return path
'''


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_base.py").write_text(BASE)
    (tmp_path / "toy_derived.py").write_text(DERIVED)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("toys")
def test_a_class_is_read_with_what_it_inherits() -> None:
    found = parameters("toy_derived.Derived")
    assert {name: one.default for name, one in found.items()} == {
        "rate": 0.5,
        "kind": "soft",
        "name": NO_DEFAULT,
        "width": 16,
        "where": None,
        "speeds": (),
        "dry": False,
    }
    assert repr(found["rate"].annotation) == repr(Annotated[float, Field(ge=0)])
    assert get_args(found["kind"].annotation) == ("soft", "hard")
    assert found["speeds"].annotation == tuple[float, ...]
    assert found["where"].annotation is Any  # torch would have to be imported
    assert found["rate"].doc == "how often, over two lines."
    assert found["kind"].doc == "shared by two."
    assert found["width"].doc == "of the layer."
    assert "toy_derived" not in sys.modules


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("toy_derived.Alone", ["name"]),  # it passes nothing on to its base
        ("toy_derived.Heir", ["rate", "kind"]),
        ("toy_derived.Settled", ["rate", "name"]),  # it settles its base's kind itself
        ("toy_derived.make", ["path", "kind"]),
        ("toy_derived.Base", ["rate", "kind"]),  # followed to where it is defined
    ],
)
def test_what_a_class_or_function_takes(target: str, names: list[str]) -> None:
    assert list(parameters(target)) == names


@pytest.mark.usefixtures("toys")
def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    assert "added" not in parameters("toy_derived.make")
    text = DERIVED.replace('kind: Kind = "hard"', 'kind: Kind = "hard", added: int = 3')
    (tmp_path / "toy_derived.py").write_text(text)
    assert parameters("toy_derived.make")["added"].default == 3


def test_a_library_is_imported() -> None:
    lr = parameters("torch.optim.AdamW")["lr"]
    assert lr.default == pytest.approx(1e-3)
    assert lr.doc.startswith("learning rate")
    assert is_library("torch.optim.AdamW")
    assert is_library("collections.Counter")
    assert not is_library("meld_lightning.models.text.TextClassifier")


@pytest.mark.parametrize("target", ["no_such_module.Thing", "json.no_such_name", "Thing"])
def test_a_target_that_does_not_exist_is_refused(target: str) -> None:
    with pytest.raises(UserError, match=f"_target_={target}"):
        parameters(target)


def test_our_own_classes_are_read_without_torch() -> None:
    code = (
        "import sys\n"
        "from meld_lightning.config.signatures import parameters\n"
        "found = parameters('meld_lightning.models.text.TextClassifier')\n"
        "print(found['pooling'].annotation)\n"
        "assert not {'torch', 'pytorch_lightning', 'transformers', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(Literal["classifier", "mean", "mean_and_mask"])


def test_a_stop_during_an_import_is_no_failed_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a job is preempted while it imports torch."""
    (tmp_path / "slow_to_import.py").write_text(
        "from meld_lightning.errors import Preempted\nraise Preempted('its checkpoint is kept')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Preempted):
        parameters("slow_to_import.Model")

"""A run folder, a fusion or an export may come from anybody: no code that it names is run, unless
it is a model of this package or of the user's own."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from meld_lightning import load_run
from meld_lightning.errors import UserError
from meld_lightning.fusion.state import DESCRIPTION, load_fusion
from meld_lightning.inference.allowed import OPTIMIZER, checked
from meld_lightning.inference.loaded import load_model
from meld_lightning.listing.again import make_again
from meld_lightning.runs.settings import Settings
from meld_lightning.training.checkpoint_file import best_weights
from tests.fusion.conftest import configured, drawn
from tests.listing.made import made_run

MODEL = "meld_lightning.models.audio.MfccClassifier"
DATA = "meld_lightning.data.audio.AudioDataModule"
MINE = """
from meld_lightning.models import classifier
from meld_lightning.models.classifier import Classifier as Base
from torch import nn
from pathlib import Path
Path(__file__).with_suffix(".imported").touch()
class Mine(Base): ...
class Mine2(classifier.Classifier): ...
class Mine3(Mine): ...
class Encoder(nn.Module): ...
def encoder(*, checkpoint, size): ...
class Evil: ...
class Circle(Circle): ...
def call(*arguments): ...
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module of the user's own; `own.imported` beside it says that it was imported."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "own.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path / "path")
    yield tmp_path / "path" / "own.imported"
    sys.modules.pop("own", None)


def config(model: Any = MODEL, data: Any = DATA, **nodes: Any) -> DictConfig:
    as_node = {"model": model, "data": data}
    named = {k: {"_target_": v} if isinstance(v, str) else v for k, v in as_node.items()}
    return OmegaConf.create({**named, "optimizer": {"_target_": "os.mkdir", "path": "x"}, **nodes})


def run_named(folder: Path, **model: str) -> Path:
    """A finished run whose config has this node `model`."""
    made = made_run(folder / "runs", "a")
    stored = OmegaConf.load(made / "config.yaml")
    stored.model = model
    OmegaConf.save(stored, made / "config.yaml")
    (made / "logits" / "val.parquet").rename(made / "logits" / "train.parquet")
    return made


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "json.JSONDecoder",
        "meld_lightning.storage.atomic.remove_leftovers",
        "meld_lightning.inference.predictor.Predictor",
        "torch.nn.Linear",
        "own.Evil",
        "own.Circle",
        "own.call",
        "own.Missing",
        "nowhere.Mine",
        "meld_lightning./own.Mine",
        "..own.Mine",
        "",
        "own",
    ],
)
def test_classes_that_are_no_models_are_refused_unimported(
    target: str, tmp_path: Path, own: Path
) -> None:
    for stored in (
        config(model=target),
        config(data=target),
        config(model={"_target_": MODEL, "extra": {"_target_": target}}),
        config(data={"_target_": DATA, "extra": [{"deep": {"_target_": target}}]}),
    ):
        with pytest.raises(UserError, match="cannot be made; expected a class") as error:
            checked(stored, tmp_path / "run", False)
        assert len(str(error.value).splitlines()) == 1
    assert not own.exists()


def test_models_of_this_package_and_of_the_users_own_are_allowed_unimported(
    tmp_path: Path, own: Path
) -> None:
    for target in (MODEL, "own.Mine", "own.Mine2", "own.Mine3"):
        assert checked(config(model=target), tmp_path / "run", False).model._target_ == target
    for encoder in ("own.Encoder", "own.encoder", "meld_lightning.pretrained.clip.Clip"):
        node = {"_target_": DATA, "encoder": {"_target_": encoder, "_partial_": True}}
        checked(config(data=node), tmp_path / "run", False)
    assert not own.exists()
    with pytest.raises(UserError, match="found outside of that folder"):
        checked(config(model="own.Mine"), tmp_path / "path", False)  # code that came with the run
    for missing in ({"model": None}, {"data": [1]}, {"model": {"name": "x"}}):
        with pytest.raises(UserError, match="its config has no"):
            checked(config(**missing), tmp_path, False)


def test_a_models_optimizer_is_not_made(tmp_path: Path) -> None:
    assert checked(config(), tmp_path, False).optimizer == OPTIMIZER


def test_loading_a_run_imports_nothing_that_it_names(tmp_path: Path, own: Path) -> None:
    folder = run_named(tmp_path, _target_="own.Evil")
    with pytest.raises(UserError, match="expected a class that derives from"):
        load_model(folder)
    assert not own.exists()


def test_an_exports_model_fetches_no_checkpoint_by_name(tmp_path: Path) -> None:
    named = config(model={"_target_": MODEL, "checkpoint": "somebody/model"})
    checked(named, tmp_path, True)
    with pytest.raises(UserError, match="names the checkpoint somebody/model"):
        checked(named, tmp_path, False)


def test_listing_runs_imports_nothing_that_they_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed module, which would be imported if a config of the user's own named it."""
    site = tmp_path / "site-packages"
    site.mkdir()
    (site / "installed_evil.py").write_text(MINE)
    monkeypatch.syspath_prepend(site)
    folder = run_named(tmp_path, _target_="installed_evil.Evil", width="3")
    assert "width" in Settings(folder).differing
    made = make_again(load_run(folder))
    assert (made.check, made.reason[:14]) == ("not checked", "installed_evil")
    assert not (site / "installed_evil.imported").exists()


def test_a_fusion_imports_no_method_but_a_fusion(tmp_path: Path, own: Path) -> None:
    from meld_lightning.fusion.state import save_fusion

    fusion = configured("average")
    fusion.fit(drawn(20)[0], seed=1)
    save_fusion(fusion, tmp_path)
    described = json.loads((tmp_path / DESCRIPTION).read_text())
    for method in ("own.Evil", "own.Mine", "os.system", "antigravity.geohash"):
        (tmp_path / DESCRIPTION).write_text(json.dumps({**described, "method": method}))
        with pytest.raises(UserError, match="no subclass of Fusion"):
            load_fusion(tmp_path)
    assert not own.exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("name: ${oc.env:HOME}", "interpolation"),
        ("a: &a [1, 1]\nb: *a", "alias"),
        ("- 1", "a list"),
        ("", "empty"),
        ("a: [" + "[" * 5000, "damaged"),
        ("a: !!python/object/apply:os.system [true]", "damaged"),
    ],
)
def test_a_stored_config_is_plain_data(tmp_path: Path, line: str, said: str) -> None:
    folder = made_run(tmp_path / "runs", "a")
    (folder / "config.yaml").write_text(line)
    with pytest.raises(UserError, match=said):
        load_run(folder)
    if line and not line.startswith("-"):
        with pytest.raises(UserError, match="damaged config.yaml"):
            Settings(folder).flat()


class Touch:
    """What it is pickled as touches a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_pickled_weights_of_a_run_run_nothing(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": Touch(tmp_path / "ran")}, tmp_path / "checkpoints" / "best.ckpt")
    with pytest.raises(UserError, match="best.ckpt: damaged"):
        best_weights(tmp_path)
    assert not (tmp_path / "ran").exists()

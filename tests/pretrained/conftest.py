"""A small checkpoint that is made here, and a copy of its cache for a test to change."""

import shutil
from pathlib import Path

import pytest

from meld_lightning.pretrained.checkpoints import Checkpoint, prepare_checkpoint
from tests.pretrained.made import TEXTS, made_of


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return prepare_checkpoint("mini:roberta", tmp_path_factory.mktemp("cache"), made_of(TEXTS))


@pytest.fixture
def cache(mini: Checkpoint, tmp_path: Path) -> Path:
    """A copy of the cache that holds `mini`, which works because a cache records the folders of its
    checkpoints relative to itself."""
    shutil.copytree(mini.folder.parent.parent, tmp_path / "cache")
    return tmp_path / "cache"

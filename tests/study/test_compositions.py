"""Configs composed from a shared base are those that Hydra composes from their own overrides."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException

from meld_lightning.study.compositions import Compositions
from tests.study.conftest import TABLES

SHARED = ["study=mini", "corpus.labels={sad: sadness}", "fusion=stacked"]


def test_rows_that_choose_the_same_files_share_a_base() -> None:
    with initialize_config_dir(str(TABLES.parent), version_base="1.3"):
        compositions = Compositions("fuse")
        first = compositions.of([*SHARED, "modalities=[video,text]", "folds=3"])
        first.seed = 7  # the caller's own: the next row starts from the base
        own = [*SHARED, "modalities=[audio]"]
        assert compositions.of(own) == compose("fuse", own)
        assert first.modalities == ["video", "text"]
        assert len(compositions.bases) == 1
        with pytest.raises(ConfigCompositionException, match="Could not override 'fold'"):
            compositions.of([*SHARED, "fold=3"])

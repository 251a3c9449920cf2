"""Caches and identities of before stay valid: what came later moves only what it changes."""

import json
from pathlib import Path

import pandas as pd
import pytest

from meld_lightning.media import deciding, prepare_media, prepared_media, store
from tests.media.conftest import Write
from tests.media.test_store import SETTINGS


@pytest.mark.slow
def test_a_cache_of_an_earlier_decoder_is_made_again_but_can_be_read(
    write_clip: Write, tmp_path: Path
) -> None:
    clip = str(write_clip("clip.mp4", frames=20))
    table = pd.DataFrame(
        {"key": ["a"], "clip": [clip], "audio": [None], "split": "test"}, dtype=object
    )
    media = prepare_media(table, "mine", SETTINGS, tmp_path)
    [manifest] = media.folder.glob("*/manifest.json")
    [entry] = json.loads(manifest.read_text())
    del entry["decoding"]  # as it was before versions were recorded
    manifest.write_text(json.dumps([entry]))
    old = prepared_media(table, "mine", SETTINGS, tmp_path)
    assert "decoding" not in old.entries[0]
    again = prepare_media(table, "mine", SETTINGS, tmp_path)
    assert again.entries == media.entries
    assert again.folder == old.folder
    assert again.digest("all") == old.digest("all")


@pytest.mark.parametrize("kind", ["frames", "audio"])
def test_a_later_setting_decides_only_where_it_is_not_the_default(kind: str) -> None:
    keys = store.SETTINGS[kind]
    before = {key: SETTINGS[key] for key in keys}
    assert deciding(SETTINGS, keys) == before
    assert deciding({**SETTINGS, "keep_cut": False}, keys) == before
    assert deciding({**SETTINGS, "keep_cut": True}, keys) == {**before, "keep_cut": True}

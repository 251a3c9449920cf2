"""Clips are hashed once for all of their rows, and files that are no media not at all."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from meld_lightning.media import chunks, prepare_media, prepared_media
from meld_lightning.storage.fingerprint import file_digest
from tests.media.conftest import encode_clip
from tests.media.test_store import SETTINGS


@pytest.mark.slow
def test_each_clip_is_hashed_once_and_what_cannot_be_decoded_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, other = tmp_path / "clip.mp4", tmp_path / "disk.mp4"
    encode_clip(clip, frames=21, shape=(48, 64))
    with other.open("wb") as file:
        file.truncate(1 << 24)
    hashed: list[Path] = []

    def counted(path: Path) -> str:
        hashed.append(path)
        return file_digest(path)

    monkeypatch.setattr(chunks, "file_digest", counted)
    clips: list[Any] = [str(clip), str(clip), str(other)]
    table = pd.DataFrame(
        {"key": list("abc"), "clip": clips, "audio": None, "start": [0.0, 0.4, None], "end": 0.4},
    ).astype({"audio": object})
    table.loc[1, "end"] = 0.8
    media = prepare_media(table, "mine", SETTINGS, tmp_path / "cache")
    assert hashed == [clip]
    assert "decoded" in media.reasons["frames"]["c"]
    prepared_media(table, "mine", SETTINGS, tmp_path / "cache")  # the files are unchanged
    with other.open("ab") as file:
        file.write(b"more")
    with pytest.raises(Exception, match=r"disk\.mp4.* changed since it was decoded"):
        prepared_media(table, "mine", SETTINGS, tmp_path / "cache")

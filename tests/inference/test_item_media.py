"""Frames that a caller gives as arrays, of which a model reads the faces."""

from pathlib import Path

import numpy as np
import pytest

from meld_lightning.inference.items.media import GivenMedia, decode_items
from meld_lightning.inference.items.table import as_items
from meld_lightning.media import face_detector
from tests.faces import write_detector


def test_frames_without_a_face_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_detector, "find_faces", lambda *_: [])
    write_detector(tmp_path)
    settings = {"every": 10, "size": 32, "rate": 16000, "channels": "center", "decoder": "pyav"}
    settings |= {"keep": ["faces"], "timeout_s": 60, "face_detector": str(tmp_path)}
    settings |= {"faces": "largest", "face_size": 8, "face_margin": 0.1}
    given = {"item 1": GivenMedia(np.zeros((2, 8, 8, 3), np.uint8))}
    media = decode_items(as_items([{"id": "item 1"}]), settings, tmp_path / "cache", given)
    assert media.reasons["faces"] == {"item 1": "no face found"}

"""Faces are found as face-api finds them, followed from frame to frame, and stored beside the
frames without changing anything about those."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from meld_lightning.corpus.report.markdown import render_media
from meld_lightning.errors import UserError
from meld_lightning.media import Media, media_report, prepare_media, read_frames, store, worker
from meld_lightning.media.face_detector import (
    ANCHORS,
    Box,
    decoded,
    find_faces,
    load_detector,
    without_repeats,
)
from meld_lightning.media.faces import Tracks, cut_out
from meld_lightning.media.frames import iter_frames
from tests.faces import SHARED, detector_output, write_detector
from tests.media.conftest import Write, encode_clip
from tests.media.test_store import SETTINGS as STORE_SETTINGS

SETTINGS: dict[str, Any] = {
    **STORE_SETTINGS,
    "timeout_s": 60,
    "faces": "largest",
    "face_size": 24,
    "face_margin": 0.1,
}

SPLITS = ["train", "val", "test", "test"]


def write_constant(folder: Path, finds: bool) -> Path:
    """A detector that finds one face in the middle of every picture, or none in any."""
    weights = write_detector(folder)
    bias = torch.full((5, 5), -9.0)
    if finds:  # boxes larger than the picture, of which all but one are repeats
        bias[4] = torch.tensor([0.0, 0.0, 1.5, 1.5, 9.0])
    weights |= {"conv8/filters": torch.zeros(25, 512, 1, 1), "conv8/bias": bias.flatten()}
    save_file(weights, folder / "tiny_face_detector.safetensors")
    return folder


def test_the_detector_is_the_published_network(tmp_path: Path) -> None:
    weights = write_detector(tmp_path)
    pictures = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 255
    expected = detector_output(weights, pictures)
    found = load_detector(tmp_path)(pictures)
    assert found.shape == (1, 3, 3, 5, 5)
    torch.testing.assert_close(found.flatten(3), expected, rtol=1e-4, atol=1e-4)


def test_boxes_of_the_detectors_output() -> None:
    """Rows are cells from top to bottom; a box is anchored to its cell and sized by its anchor."""
    output_KKA5 = np.zeros((4, 4, 5, 5))
    output_KKA5[..., 4] = -5
    output_KKA5[1, 3, 2] = (0, 0, np.log(2), 0, 2)
    ((left, top, width, height, score),) = decoded(output_KKA5)
    assert (width, height) == pytest.approx((2 * ANCHORS[2][0] / 4, ANCHORS[2][1] / 4))
    assert (left + width / 2, top + height / 2) == pytest.approx((3.5 / 4, 1.5 / 4))
    assert score == pytest.approx(1 / (1 + np.exp(-2)))


def test_a_repeated_box_is_dropped() -> None:
    sure, repeat, other = (
        Box(0, 0, 10, 10, 0.9),
        Box(1, 1, 10, 10, 0.8),
        Box(30, 0, 10, 10, 0.6),
    )
    assert without_repeats([other, repeat, sure]) == [sure, other]


def test_faces_are_followed_by_overlap() -> None:
    """The largest face is that which covers most over the clip, not in one frame."""
    left, right = Box(0, 0, 10, 10, 1), Box(50, 0, 14, 14, 1)
    tracks = Tracks()
    for frame, boxes in enumerate(
        [[left, right], [Box(2, 0, 10, 10, 1)], [right, Box(3, 1, 10, 10, 1)], []]
    ):
        tracks.add(frame, boxes)
    assert tracks.chosen("largest") == [1, 3]
    assert tracks.chosen("all") == [0, 2, 4, 1, 3]
    tracks.add(9, [left])  # too long after
    assert tracks.chosen("all") == [0, 2, 4, 1, 3, 5]
    tracks.add(10, [left])
    tracks.add(11, [left])
    assert tracks.chosen("largest") == [1, 3]
    assert Tracks().chosen("largest") == Tracks().chosen("all") == []


def test_a_crop_is_square_and_black_beyond_the_picture() -> None:
    picture = np.full((20, 40, 3), 200, np.uint8)
    picture[5:15, 10:20] = (255, 0, 0)
    assert (cut_out(picture, Box(10, 5, 10, 10, 1), 10, 0) == (255, 0, 0)).all()
    wide = cut_out(picture, Box(10, 5, 10, 10, 1), 20, 0.5)
    assert (wide[5:15, 5:15] == (255, 0, 0)).all()
    assert (wide[:4] == 200).all()
    beyond = cut_out(picture, Box(-10, 0, 20, 20, 1), 20, 0)
    assert (beyond[:, :9] == 0).all()
    assert (beyond[:, 11:] == picture[:, 1:10]).all()
    tall = cut_out(picture, Box(10, 0, 10, 20, 1), 20, 0)  # as wide as it is high
    assert (tall[5:15, 5:15] == (255, 0, 0)).all()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(2):
        encode_clip(folder / f"{number}.mp4", frames=21, shape=(48, 64), seed=number)
    (folder / "2.mp4").write_bytes(b"no clip")
    clips = [*(str(folder / f"{number}.mp4") for number in range(3)), None]
    keys = [f"u/{number}" for number in range(4)]
    columns = {"key": keys, "clip": clips, "audio": [None] * 4, "split": SPLITS}
    return pd.DataFrame(columns, dtype=object)


class Here:
    """Decodes in this process: torch would take seconds to import in others."""

    def __init__(self, *_: object) -> None: ...
    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *_: object) -> None: ...
    def map(self, jobs: Iterable[Any]) -> Iterator[Any]:
        return ((job, worker.decode(job)) for job in jobs)


@pytest.fixture(scope="module")
def without(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Media:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "Pool", Here)
        return prepare_media(table, "mine", SETTINGS, tmp_path_factory.mktemp("without"))


@pytest.mark.slow
@pytest.mark.parametrize("finds", [True, False])
def test_faces_leave_frames_and_sound_as_they_are(
    finds: bool,
    table: pd.DataFrame,
    without: Media,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "Pool", Here)
    detector = write_constant(tmp_path / "detector", finds)
    settings = {
        **SETTINGS,
        "keep": ["frames", "audio", "faces"],
        "face_detector": str(detector),
    }
    media = prepare_media(table, "mine", settings, tmp_path)
    assert [media.digest(kind) for kind in ("frames", "audio")] == [
        without.digest(kind) for kind in ("frames", "audio")
    ]
    for row in range(4):
        assert np.array_equal(media.frames(row), without.frames(row))
        assert np.array_equal(media.waveform(row), without.waveform(row))
    assert media.face_counts.tolist() == ([3, 3, 0, 0] if finds else [0] * 4)
    reasons, unreadable = media.reasons["faces"], media.reasons["frames"]["u/2"]
    searched = {} if finds else {"u/0": "no face found", "u/1": "no face found"}
    assert reasons == {**searched, "u/2": unreadable, "u/3": "no file"}
    report = media_report(media, table)
    assert report["counts"]["faces"] == {"train": int(finds), "val": int(finds), "test": 0}
    shown = "6 faces in 2 clips; no face in 0 of 6 frames"
    assert (shown if finds else "0 faces in 0 clips; no face in 6 of 6 frames") in report["summary"]
    text = "\n".join(render_media(report))
    assert ("no faces: no face found" in text) is not finds
    assert "without frames, faces or sound" in text
    # the detector's weights decide
    before = {kind: media.digest(kind) for kind in ("frames", "faces")}
    write_detector(detector, seed=1)
    assert media.digest("frames") == before["frames"]
    assert media.digest("faces") != before["faces"]


def test_caches_of_before_faces_keep_their_names(without: Media) -> None:
    """As the names were before faces could be kept."""
    assert sorted(path.name for path in (without.folder / "0").iterdir()) == [
        "audio.npy",
        "frames.npy",
        "manifest.json",
    ]
    kept = json.loads((without.folder / "settings.json").read_text())
    assert sorted(set(kept) - {"clips"}) == ["channels", "decoder", "every", "keep", "rate", "size"]
    assert "faces" not in without.entries[0]


def test_one_decoding_serves_frames_and_faces(
    write_clip: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip("one.mp4", frames=21, shape=(48, 64), layout=None)
    times: list[int | None] = []

    def counted(source: str, every: int, size: int | None, *rest: Any) -> Any:
        times.append(size)
        return iter_frames(source, every, size, *rest)

    monkeypatch.setitem(worker.DECODERS, "pyav", counted)
    detector = str(write_constant(tmp_path / "detector", True))
    job: dict[str, Any] = {
        "out": str(tmp_path / "out"),
        "settings": {**SETTINGS, "face_detector": detector},
    }
    both = worker.decode({**job, "sources": {"frames": str(clip), "faces": str(clip)}})
    assert both["frames"] == {"count": 3, "reason": None}
    assert both["faces"] == {"count": 3, "reason": None, "searched": 3, "empty": 0}
    frames = np.fromfile(tmp_path / "out.frames", np.uint8).reshape(-1, 32, 32, 3)
    assert np.array_equal(frames, read_frames(clip, size=32))
    crops = (tmp_path / "out.faces").read_bytes()
    assert worker.decode({**job, "sources": {"faces": str(clip)}}) == {"faces": both["faces"]}
    assert (tmp_path / "out.faces").read_bytes() == crops
    assert len(crops) == 3 * 24 * 24 * 3
    assert times == [None, None]


@pytest.mark.parametrize(
    ("detector", "said"),
    [
        (None, r"no face detector is given.* checkpoints.face_detector=FOLDER"),
        ("nowhere", "media.face_detector=nowhere: no such folder"),
        (".", "no tiny_face_detector in it"),
    ],
)
def test_a_detector_that_is_missing(
    detector: str | None, said: str, table: pd.DataFrame, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    settings = {**SETTINGS, "keep": ["faces"], "face_detector": detector}
    with pytest.raises(UserError, match=said):
        prepare_media(table, "mine", settings, tmp_path)


def test_real_faces_are_found(tmp_path: Path) -> None:
    weights, clips = SHARED / "checkpoints/face-api", SHARED / "data/ravdess/clips"
    if not weights.is_dir() or not clips.is_dir():
        pytest.skip(f"no {weights} and {clips}")
    frame = read_frames(sorted(clips.glob("*.mp4"))[0])[0]
    (face,) = find_faces(load_detector(weights), frame)
    assert 150 < face.width < 300
    small = np.zeros((480, 640, 3), np.uint8)
    small[60:284, 300:524] = frame
    (moved,) = find_faces(load_detector(weights), small)
    expected = Box(face.left + 300, face.top + 60, *face[2:])
    assert moved.overlap(expected) > 0.6

"""Finds faces in the frames of a clip, tracks them from frame to frame, and crops them.

Reads the weights of a detector; writes raw crops. Used by worker.py and store.py. A crop is a
square around the detector's box with a fixed margin (media.face_margin), resized to
media.face_size. With media.faces=largest, a clip's crops are those of one face: the one whose boxes
have the largest total area. With `all`, they are those of every face, one after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from meld_lightning.errors import UserError
from meld_lightning.media.face_weights import DETECTOR, weight_files
from meld_lightning.storage.fingerprint import bytes_digest

if TYPE_CHECKING:
    from meld_lightning.media.face_detector import Box, TinyFaceDetector

FACES_VERSION = 1  # raise it if the same clip and settings give other crops; changes runs' hashes
NO_FACE = "no face found"
# intersection over union of a face's boxes in successive frames
MIN_OVERLAP = 0.3
MAX_GAP = 2  # a face that is found again more frames later counts as another one


class Faces:
    """The faces of one clip, cut out frame by frame.

    path: the file that `finish` writes the chosen crops to, uint8 RGB (count, size, size, 3).
    settings: conf/media.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = path, settings
        self.size = int(settings["face_size"])
        self.detector = _detector(str(settings["face_detector"]))
        self.tracks = Tracks()
        self.frames = self.empty = 0
        self.found = path.with_name(f"{path.name}.found")
        self._file = self.found.open("wb")

    def __enter__(self) -> Faces:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.found.unlink(missing_ok=True)

    def of_each(self, pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Finds and crops the faces in each frame, uint8 RGB (height, width, 3), and yields the
        frame."""
        from meld_lightning.media.face_detector import find_faces

        for picture in pictures:
            boxes = find_faces(self.detector, picture)
            self.tracks.add(self.frames, boxes)
            self.frames, self.empty = self.frames + 1, self.empty + (not boxes)
            for box in boxes:
                crop = cut_out(picture, box, self.size, self.settings["face_margin"])
                self._file.write(crop.tobytes())
            yield picture

    def finish(self) -> dict[str, Any]:
        """Writes the crops that media.faces selects. Returns their count, the reason if there are
        none, the number of frames searched, and the number of these without a face."""
        self._file.close()
        chosen = self.tracks.chosen(str(self.settings["faces"]))
        if chosen:
            shape = (-1, self.size, self.size, 3)
            crops = np.memmap(self.found, np.uint8, mode="r").reshape(shape)
            with self.path.open("wb") as file:
                for place in chosen:
                    file.write(crops[place].tobytes())
        return {
            "count": len(chosen),
            "reason": None if chosen else NO_FACE if self.frames else "no frames in it",
            "searched": self.frames,
            "empty": self.empty,
        }


def faces_of(frames_FHW3: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """The faces in decoded frames: uint8 RGB (count, size, size, 3).

    settings: conf/media.
    """
    size = int(settings["face_size"])
    with TemporaryDirectory() as folder, Faces(Path(folder, "faces"), settings) as faces:
        for _ in faces.of_each(frames_FHW3):
            pass
        found = faces.finish()["count"]
        pixels = np.fromfile(faces.path, np.uint8) if found else np.zeros(0, np.uint8)
    return pixels.reshape(-1, size, size, 3)


class Tracks:
    """The faces of a clip, each tracked from frame to frame by the overlap of its boxes."""

    def __init__(self) -> None:
        self.last: list[tuple[int, Box]] = []  # by track: frame and box
        self.track_of: list[int] = []  # by box, in the order of `add`
        self.areas: list[float] = []  # by box

    def add(self, frame: int, boxes: list[Box]) -> None:
        """Assigns each box of a frame to the face it overlaps most, or to a new one."""
        before = [
            (number, box) for number, (seen, box) in enumerate(self.last) if frame - seen <= MAX_GAP
        ]
        pairs = sorted(
            (
                (box.overlap(known), place, number)
                for place, box in enumerate(boxes)
                for number, known in before
            ),
            key=lambda pair: (-pair[0], *pair[1:]),
        )
        track_of: dict[int, int] = {}
        for overlap, place, number in pairs:
            free = place not in track_of and number not in track_of.values()
            if overlap >= MIN_OVERLAP and free:
                track_of[place] = number
        for place, box in enumerate(boxes):
            number = track_of.get(place, len(self.last))
            if number == len(self.last):
                self.last.append((frame, box))
            self.last[number] = (frame, box)
            self.track_of.append(number)
            self.areas.append(box.width * box.height)

    def chosen(self, which: str) -> list[int]:
        """The indices of boxes, in the order of `add`: those of the face with the largest total
        area (`largest`), or of every face, track by track (`all`)."""
        numbers = range(len(self.last))
        if which == "largest" and self.last:
            covered = np.bincount(self.track_of, self.areas)
            numbers = range(int(covered.argmax()), int(covered.argmax()) + 1)
        return [n for track in numbers for n, one in enumerate(self.track_of) if one == track]


def cut_out(picture: np.ndarray, box: Box, size: int, margin: float) -> np.ndarray:
    """The square around a box, uint8 RGB (size, size, 3); black where it reaches beyond the
    picture.

    margin: added on each side, as a share of the box's longer side.
    """
    from PIL import Image

    # whole pixels, so that rounding errors in the detector's output do not change the crop
    side = max(1, round(max(box.width, box.height) * (1 + 2 * margin)))
    left = round(box.left + box.width / 2 - side / 2)
    top = round(box.top + box.height / 2 - side / 2)
    square = Image.fromarray(np.ascontiguousarray(picture)).crop(
        (left, top, left + side, top + side)
    )
    return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))


def detector_digest(settings: Mapping[str, Any]) -> str:
    """sha256 (hex) of the detector's weights and the version of this file; UserError if
    media.face_detector names none."""
    folder = _detector_folder(settings.get("face_detector"))
    files = weight_files(folder, DETECTOR)
    if not files:
        raise UserError(
            f"media.face_detector={folder}: no {DETECTOR} in it; expected {DETECTOR}.safetensors,"
            " or the folder model/ of the npm package @vladmandic/face-api"
        )
    return bytes_digest([str(FACES_VERSION).encode(), *(file.read_bytes() for file in files)])


def _detector_folder(name: object) -> Path:
    if name is None:
        raise UserError(
            "media.keep contains faces, but no face detector is given; give prepare and train"
            f" checkpoints.face_detector=FOLDER, with the weights {DETECTOR}"
        )
    folder = Path(str(name)).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"media.face_detector={name}: no such folder; give one with {DETECTOR}")
    return folder


@cache
def _detector(name: str) -> TinyFaceDetector:
    """The detector, loaded once in each decoding process."""
    from meld_lightning.media.face_detector import load_detector

    return load_detector(_detector_folder(name))

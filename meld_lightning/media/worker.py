"""A process that decodes clips one at a time, so that a clip that crashes or hangs the decoder
affects no other.

Reads one job per line (JSON) from stdin, writes raw arrays to the job's folder and answers with one
line on stdout. Started by pool.py as `python -m meld_lightning.media.worker PID`, with its own
process id.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from meld_lightning.errors import UserError
from meld_lightning.media.decord_frames import iter_frames_decord
from meld_lightning.media.errors import MediaError
from meld_lightning.media.faces import Faces
from meld_lightning.media.frames import fit, iter_frames
from meld_lightning.media.losses import Losses
from meld_lightning.media.parts import Part
from meld_lightning.media.waveform import SampleCounts, iter_waveform
from meld_lightning.storage.atomic import writing

NOUNS = {"frames": "frames", "audio": "samples"}
PARENT_CHECK_S = 1.0
Decoder = Callable[[str, int, int | None, bool, Losses], Iterable[np.ndarray]]
DECODERS: dict[str, Decoder] = {
    "pyav": iter_frames,
    "decord": iter_frames_decord,
}


def decode(job: dict[str, Any]) -> dict[str, Any]:
    """Writes <out>.frames, <out>.faces and <out>.audio; returns {kind: {count, reason}}, with a
    reason where there is nothing, with the fields of Losses where something was lost, for faces
    with {searched, empty}: how many frames were searched and had none, and for sound with samples
    that are not finite {not_finite, decoded}: how many of how many were replaced by silence.

    job: {"out": path, "sources": {kind: file}, "settings": conf/media} and, for a part of the clip,
    "part": [start, end] in seconds; PyAV decodes it, whatever the decoder.
    """
    settings, out = job["settings"], Path(job["out"])
    part = Part(*job["part"]) if "part" in job else None
    cut = settings.get("keep_cut", False)
    answer: dict[str, Any] = {}
    sources = dict(job["sources"])
    if "faces" in sources:
        answer |= _decode_faces(sources.pop("faces"), "frames" in sources, settings, out, part)
        sources.pop("frames", None)
    for kind, source in sources.items():
        samples, losses = SampleCounts(), Losses()
        if kind == "frames":
            decoder = _decoder(settings["decoder"], part)
            pieces = decoder(source, settings["every"], settings["size"], cut, losses)
        else:
            pieces = iter_waveform(
                source, settings["rate"], settings["channels"], cut, samples, losses, part
            )
        try:
            count = _write(pieces, out.with_name(f"{out.name}.{kind}"), kind)
            answer[kind] = {
                "count": count,
                "reason": None if count else f"no {NOUNS[kind]} in it",
                **losses.as_json(),
            }
        except MediaError as error:
            answer[kind] = {"count": 0, "reason": error.reason}
        else:
            if samples.not_finite:
                answer[kind] |= {"not_finite": samples.not_finite, "decoded": samples.decoded}
    return answer


def _decoder(name: str, part: Part | None) -> Decoder:
    return DECODERS[name] if part is None else partial(iter_frames, part=part)


def _decode_faces(
    source: str, keep_frames: bool, settings: dict[str, Any], out: Path, part: Part | None
) -> dict[str, Any]:
    """Faces and, if they are kept, frames: the clip is decoded once for both."""
    losses, size = Losses(), settings["size"]
    decoder, cut = _decoder(settings["decoder"], part), settings.get("keep_cut", False)
    with Faces(out.with_name(f"{out.name}.faces"), settings) as faces:
        pictures = faces.of_each(decoder(source, settings["every"], None, cut, losses))
        try:
            if not keep_frames:
                for _ in pictures:
                    pass
                return {"faces": {**faces.finish(), **losses.as_json()}}
            fitted = (fit(picture, size) for picture in pictures)
            count = _write(fitted, out.with_name(f"{out.name}.frames"), "frames")
        except MediaError as error:
            lost = {"count": 0, "reason": error.reason}
            return {"faces": lost, **({"frames": dict(lost)} if keep_frames else {})}
        reason = None if count else f"no {NOUNS['frames']} in it"
        frames = {"count": count, "reason": reason, **losses.as_json()}
        return {"frames": frames, "faces": faces.finish()}


def _write(pieces: Iterable[np.ndarray], path: Path, kind: str) -> int:
    count = 0
    with writing(path), path.open("wb") as file:
        for piece in pieces:
            file.write(np.ascontiguousarray(piece).data)
            count += 1 if kind == "frames" else len(piece)
    return count


def _end_with_parent(parent: int) -> None:
    """A killed parent ends no worker, and a long clip would be decoded to its end for nobody."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(1)


def main() -> None:
    """Answers jobs until stdin or the parent process ends."""
    threading.Thread(target=_end_with_parent, args=(int(sys.argv[1]),), daemon=True).start()
    for line in sys.stdin:
        try:
            answer = decode(json.loads(line))
        except UserError as error:  # a full disk or a decoder that is not installed, not the clip
            answer = {"refused": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

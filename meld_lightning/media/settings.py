"""The settings of conf/media that change the decoded arrays, and so the names of caches and runs.

Used by store.py and runs/.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from meld_lightning.media.faces import detector_digest

# the settings that change the arrays of each kind
SETTINGS = {
    "frames": ("every", "size", "decoder"),
    "audio": ("rate", "channels"),
    "faces": ("every", "decoder", "faces", "face_size", "face_margin"),
}
DECIDING = ("keep", *SETTINGS["frames"], *SETTINGS["audio"])
# Settings that were added later. They enter digests only if they differ from the default given
# here, so that earlier caches and runs keep their names.
LATER: dict[str, Any] = {"keep_cut": False}


def deciding(settings: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The settings (conf/media) in `keys`, and those in LATER that differ from their defaults."""
    later = {key for key, default in LATER.items() if settings.get(key, default) != default}
    return {key: settings[key] for key in (*keys, *sorted(later))}


def deciding_all(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that change any array; with faces, also the digest of the detector."""
    found = deciding(settings, DECIDING)
    if "faces" in settings["keep"]:
        found |= deciding(settings, SETTINGS["faces"])
        found["face_detector"] = detector_digest(settings)
    return found

"""Which settings of conf/media change the decoded arrays: what caches and runs are named by.

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
# Settings that came later, and enter digests only where they differ from the default given here, so
# that the caches and runs of before keep their names.
LATER: dict[str, Any] = {"keep_cut": False}


def deciding(settings: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Those of the settings (conf/media) that change the arrays: `keys`, and what is in LATER."""
    later = {key for key, default in LATER.items() if settings.get(key, default) != default}
    return {key: settings[key] for key in (*keys, *sorted(later))}


def deciding_all(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that change any of the arrays; for faces also the digest of their detector."""
    found = deciding(settings, DECIDING)
    if "faces" in settings["keep"]:
        found |= deciding(settings, SETTINGS["faces"])
        found["face_detector"] = detector_digest(settings)
    return found

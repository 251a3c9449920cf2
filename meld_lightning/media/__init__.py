"""Media: decodes clips to frames, faces and waveforms, once, and reads them memory-mapped.

Used by `prepare`, the datamodules and the report. The only network it knows
is the one that finds faces.
"""

from meld_lightning.media.frames import read_frames
from meld_lightning.media.outcome import media_report, nothing_decoded
from meld_lightning.media.settings import SETTINGS, deciding
from meld_lightning.media.store import Media, prepare_media, prepared_media
from meld_lightning.media.waveform import read_waveform

__all__ = [
    "SETTINGS",
    "Media",
    "deciding",
    "media_report",
    "nothing_decoded",
    "prepare_media",
    "prepared_media",
    "read_frames",
    "read_waveform",
]

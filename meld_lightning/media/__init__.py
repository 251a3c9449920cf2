"""Media: decodes clips to frames and waveforms, once, and reads them memory-mapped.

Used by `prepare`, the datamodules and the report. Knows nothing of models.
"""

from meld_lightning.media.frames import read_frames
from meld_lightning.media.outcome import media_report
from meld_lightning.media.store import SETTINGS, Media, deciding, prepare_media, prepared_media
from meld_lightning.media.waveform import read_waveform

__all__ = [
    "SETTINGS",
    "Media",
    "deciding",
    "media_report",
    "prepare_media",
    "prepared_media",
    "read_frames",
    "read_waveform",
]

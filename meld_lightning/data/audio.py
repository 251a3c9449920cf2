"""Audio: waveforms of the decoded clips, in batches of similar length.

Reads the media cache. Used by training.

Axes: N utterances of a batch, T samples, G utterances of the global batch.
"""

from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import Field

from meld_lightning.data.datamodule import CorpusDataModule, Shared, require_some
from meld_lightning.data.sources import Sources
from meld_lightning.errors import UserError
from meld_lightning.media import Media
from meld_lightning.pretrained.speech import RATE


class AudioBatch(NamedTuple):
    """Waveforms, padded with zeros to the longest; models ignore the padding.

    `samples_N` stays on the CPU: models cut out each clip by its length, and would otherwise wait
    for the device to learn it.
    """

    wave_NT: torch.Tensor
    samples_N: torch.Tensor
    labels_N: torch.Tensor
    rows_N: torch.Tensor
    owned_N: torch.Tensor
    labels_G: torch.Tensor

    def kept_on_cpu(self) -> tuple[str, ...]:
        """The fields that are not moved to the device."""
        return ("samples_N",)


class AudioDataModule(CorpusDataModule):
    """Batches of waveforms.

    Args:
        max_seconds: longer clips are cut. (MELD's longest lasts 305 s; 99 % are under 12 s.)
        loading: see CorpusDataModule.
    """

    modality: ClassVar[str] = "audio"
    decoded: ClassVar[str | None] = "audio"

    def __init__(
        self,
        max_seconds: Annotated[float, Field(ge=0.1)] = 15,
        *,
        sources: Sources,
        **loading: Any,
    ) -> None:
        self.media = checked_media(sources)
        super().__init__(
            sources=sources,
            lengths_N=np.minimum(self.media.samples, int(max_seconds * RATE)),
            present_N=self.media.samples > 0,
            **loading,
        )

    def batch(self, rows: np.ndarray, shared: Shared) -> AudioBatch:
        lengths = self.lengths_N[rows]
        wave = np.zeros((len(rows), int(lengths.max())), dtype=np.float32)
        for line, row in enumerate(rows):
            wave[line, : lengths[line]] = self.media.waveform(int(row))[: lengths[line]]
        return AudioBatch(torch.from_numpy(wave), torch.from_numpy(lengths), **shared._asdict())


def checked_media(sources: Sources) -> Media:
    """The clips of `sources`, checked.

    Raises UserError if none of them has sound, or if they were decoded at another sampling rate
    than speech encoders expect.
    """
    media = sources.media
    assert media is not None
    require_some(media.samples > 0, "audio")
    if media.settings["rate"] != RATE:
        raise UserError(
            f"media.rate={media.settings['rate']}: audio models expect {RATE} samples per second;"
            f" run with media.rate={RATE}"
        )
    return media

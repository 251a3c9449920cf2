"""Video: CLIP's embedding of every decoded frame, computed once and cached.

Reads the media cache and a CLIP checkpoint; writes cache/video/ (see arrays.py). Used by training.

Axes: N utterances of a batch, F frames, D dimensions, G utterances of the global batch.
"""

from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import transformers
from tqdm import tqdm

from meld_lightning.data.datamodule import CorpusDataModule, Sampling, Shared, Sources
from meld_lightning.errors import UserError, is_out_of_memory
from meld_lightning.pretrained.clip import Clip
from meld_lightning.storage.arrays import Arrays, cached_arrays

WRITER_VERSION = 1  # raise it when the embeddings that this file writes change
AT_ONCE = 64  # frames a forward pass, across clips


class VideoBatch(NamedTuple):
    """Unit vectors of each clip's frames, padded with zeros."""

    embeds_NFD: torch.Tensor
    frames_N: torch.Tensor
    labels_N: torch.Tensor
    rows_N: torch.Tensor
    owned_N: torch.Tensor
    labels_G: torch.Tensor


class VideoDataModule(CorpusDataModule):
    """Batches of frame embeddings.

    Args:
        batch_size, sampling, and the rest of `loading`: see CorpusDataModule.
    """

    modality: ClassVar[str] = "video"
    decoded: ClassVar[str | None] = "frames"

    def __init__(
        self, batch_size: int, sampling: Sampling, *, sources: Sources, **loading: Any
    ) -> None:
        media = sources.media
        assert media is not None
        if not media.frame_counts.any():
            raise UserError(
                "no utterance has a picture that can be read: the corpus report says why"
            )
        settings = {
            "media": media.digest("frames"),
            "checkpoint": sources.checkpoint_digest,
            "precision": sources.precision,
            "device": sources.device.type,
            "writer": WRITER_VERSION,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
        self.embeds = cached_arrays(
            sources.cache / "video", settings, lambda: embed_frames(sources)
        )["embeds"]
        self.starts = np.concatenate([[0], np.cumsum(media.frame_counts)])
        super().__init__(
            sources=sources,
            lengths_N=media.frame_counts,
            present_N=media.frame_counts > 0,
            batch_size=batch_size,
            sampling=sampling,
            **loading,
        )

    def batch(self, rows: np.ndarray, shared: Shared) -> VideoBatch:
        lengths = self.lengths_N[rows]
        embeds = np.zeros((len(rows), int(lengths.max()), self.embeds.shape[1]), dtype=np.float32)
        for line, row in enumerate(rows):
            embeds[line, : lengths[line]] = self.embeds[self.starts[row] : self.starts[row + 1]]
        return VideoBatch(torch.from_numpy(embeds), torch.from_numpy(lengths), **shared._asdict())


def embed_frames(sources: Sources) -> Arrays:
    """Every frame of the corpus in the order of its rows (sum of F, D): float32, or float16 where
    numerics is bf16."""
    media = sources.media
    assert media is not None
    assert sources.checkpoint is not None
    clip = Clip(sources.checkpoint, media.settings["size"]).to(sources.device).eval()
    bf16 = sources.precision == "bf16-mixed"
    embeds: list[np.ndarray] = []
    waiting: list[np.ndarray] = []
    with torch.inference_mode(), torch.autocast(sources.device.type, torch.bfloat16, enabled=bf16):
        for row in tqdm(range(len(media.frame_counts)), unit="clip", disable=None, mininterval=1):
            waiting += list(media.frames(row))
            while len(waiting) >= AT_ONCE:
                embeds.append(_embedded(clip, np.stack(waiting[:AT_ONCE])))
                waiting = waiting[AT_ONCE:]
        if waiting:
            embeds.append(_embedded(clip, np.stack(waiting)))
    return {"embeds": np.concatenate(embeds).astype(np.float16 if bf16 else np.float32)}


def _embedded(clip: Clip, frames_FHWC: np.ndarray) -> np.ndarray:
    """Frames' embeddings (F, D), by halves where memory does not hold them together."""
    try:
        return clip.images(frames_FHWC).cpu().numpy()
    except RuntimeError as error:
        if len(frames_FHWC) == 1 or not is_out_of_memory(error):
            raise
    halves = np.array_split(
        frames_FHWC, 2
    )  # after the block, with the traceback that holds the tensors gone
    return np.concatenate([_embedded(clip, half_FHWC) for half_FHWC in halves])

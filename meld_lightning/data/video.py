"""Video: a frozen encoder's embedding of every decoded frame or face, computed once and cached.

Reads the media cache and, if the encoder has one, the model's checkpoint; writes cache/video/ (see
storage/arrays.py). The encoder is named by `data.encoder`; CLIP is one of many. Used by training.

Axes: N utterances of a batch, F frames, S pixels a side, 3 colours (RGB), D dimensions, G
utterances of the global batch.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from meld_lightning.data.datamodule import (
    CorpusDataModule,
    Shared,
    require_some,
    warn_of_missing,
)
from meld_lightning.data.sources import Sources, encoder_identity
from meld_lightning.errors import is_out_of_memory
from meld_lightning.storage.arrays import Arrays, cached_arrays

WRITER_VERSION = 2  # to be raised if this file computes other embeddings from the same frames
Crop = Literal["frame", "face"]
AT_ONCE = 64  # frames per forward pass, across clips


class FrameEncoder(Protocol):
    """What `data.encoder` names: a class (or function) that makes a torch module.

    The module takes frames, uint8 RGB (F, S, S, 3), and returns their embeddings (F, D).
    """

    def __call__(self, *, checkpoint: Path | None, size: int) -> nn.Module:
        """checkpoint: the model's checkpoint folder, if it has one; size: pixels a side (S)."""


class VideoBatch(NamedTuple):
    """Embeddings of each clip's frames, padded with zeros."""

    embeds_NFD: torch.Tensor
    frames_N: torch.Tensor
    labels_N: torch.Tensor
    rows_N: torch.Tensor
    owned_N: torch.Tensor
    labels_G: torch.Tensor


class VideoDataModule(CorpusDataModule):
    """Batches of frame embeddings. Faces are video, too: they are another view of the same clips,
    and a fusion goes by the modality.

    Args:
        crop: what is read: the frames, or the faces in them (media.keep has to name faces).
        encoder: the frame encoder, a node with `_target_` and `_partial_: true`; see FrameEncoder.
        loading: see CorpusDataModule.
    """

    modality: ClassVar[str] = "video"
    decoded: ClassVar[Mapping[str, str]] = {"frame": "frames", "face": "faces"}

    def __init__(
        self,
        encoder: partial,
        crop: Crop = "frame",
        *,
        sources: Sources,
        **loading: Any,
    ) -> None:
        media = sources.media
        assert media is not None
        counts_N = media.frame_counts if crop == "frame" else media.face_counts
        require_some(counts_N > 0, self.modality if crop == "frame" else "a face")
        settings = {
            **sources.encoder_settings(),
            "media": media.digest(self.decoded[crop]),
            "encoder": encoder_identity(encoder),
            "frames_at_once": AT_ONCE,
            "writer": WRITER_VERSION,
        }
        self.embeds = cached_arrays(
            sources.cache / "video", settings, lambda: embed_frames(sources, encoder, crop)
        )["embeds"]
        self.starts = np.concatenate([[0], np.cumsum(counts_N)])
        broken = self._rows_not_finite()
        present_N = counts_N > 0
        present_N[broken] = False
        warn_of_missing(sources.table["key"].iloc[broken].tolist(), "frame embeddings")
        super().__init__(
            sources=sources,
            lengths_N=counts_N,
            present_N=present_N,
            **loading,
        )

    def _rows_not_finite(self) -> np.ndarray:
        """Rows of the table with an embedding that is not finite: one of them would make every
        clip of its batch not finite."""
        frames = np.flatnonzero(~np.isfinite(self.embeds).all(1))
        return np.unique(np.searchsorted(self.starts, frames, side="right") - 1)

    def batch(self, rows: np.ndarray, shared: Shared) -> VideoBatch:
        lengths = self.lengths_N[rows]
        embeds = np.zeros((len(rows), int(lengths.max()), self.embeds.shape[1]), dtype=np.float32)
        for line, row in enumerate(rows):
            embeds[line, : lengths[line]] = self.embeds[self.starts[row] : self.starts[row + 1]]
        return VideoBatch(torch.from_numpy(embeds), torch.from_numpy(lengths), **shared._asdict())


def embed_frames(sources: Sources, encoder: FrameEncoder, crop: Crop = "frame") -> Arrays:
    """Embeddings of all frames or faces of the corpus, in the order of its rows (sum of F, D):
    float32, or float16 under bf16."""
    media = sources.media
    assert media is not None
    size = media.settings["size" if crop == "frame" else "face_size"]
    pictures, counts_N = media.frames, media.frame_counts
    if crop == "face":
        pictures, counts_N = media.faces, media.face_counts
    module = sources.encoder("frames", lambda: encoder(checkpoint=sources.checkpoint, size=size))
    embeds: list[np.ndarray] = []
    waiting: list[np.ndarray] = []
    with sources.inference():
        for row in tqdm(range(len(counts_N)), unit="clip", disable=None, mininterval=1):
            waiting += list(pictures(row))
            while len(waiting) >= AT_ONCE:
                embeds.append(_embedded(module, np.stack(waiting[:AT_ONCE])))
                waiting = waiting[AT_ONCE:]
        if waiting:
            embeds.append(_embedded(module, np.stack(waiting)))
    stored = np.float16 if sources.precision == "bf16-mixed" else np.float32
    return {"embeds": np.concatenate(embeds).astype(stored)}


def _embedded(module: nn.Module, frames_FSS3: np.ndarray) -> np.ndarray:
    """Embeddings of some frames (F, D); frames that do not fit into memory together are halved."""
    try:
        return module(frames_FSS3).float().cpu().numpy()
    except RuntimeError as error:
        if len(frames_FSS3) == 1 or not is_out_of_memory(error):
            raise
    # after the block: the traceback, which holds the tensors, is gone
    halves = np.array_split(frames_FSS3, 2)
    return np.concatenate([_embedded(module, half) for half in halves])

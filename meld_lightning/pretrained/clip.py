"""CLIP's two encoders: frames to embeddings, and prompts to embeddings.

Reads a checkpoint folder. Used by data/video.py, which caches the embeddings of frames, by
models/video.py and by the report's strips of frames.

Axes: F frames, S pixels a side, D dimensions of the shared space, P prompts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

from meld_lightning.errors import UserError


class Clip(nn.Module):
    """A CLIP model with frozen weights.

    checkpoint: a folder that from_pretrained loads, with processor and tokenizer.
    size: pixels a side of the frames it will get; None if it gets none.
    """

    def __init__(self, checkpoint: str | Path, size: int | None) -> None:
        super().__init__()
        self.model: CLIPModel = CLIPModel.from_pretrained(
            checkpoint, dtype=torch.float32, attn_implementation="sdpa"
        )
        self.model.requires_grad_(False)
        self.checkpoint = checkpoint
        vision: Any = self.model.config.vision_config
        wanted = vision.image_size
        if size not in (None, wanted):
            raise UserError(
                f"media.size={size}: {Path(checkpoint).name} takes frames of {wanted} pixels; run"
                f" with media.size={wanted}"
            )
        processor = AutoImageProcessor.from_pretrained(checkpoint)
        self.register_buffer("mean_3", torch.tensor(processor.image_mean), persistent=False)
        self.register_buffer("std_3", torch.tensor(processor.image_std), persistent=False)
        self.mean_3: torch.Tensor
        self.std_3: torch.Tensor

    @property
    def scale(self) -> torch.Tensor:
        """The factor that turns cosines into logits."""
        return self.model.logit_scale.exp()

    def forward(self, frames_FSS3: np.ndarray) -> torch.Tensor:
        """As `images`: what a frame encoder is called for."""
        return self.images(frames_FSS3)

    def images(self, frames_FSS3: np.ndarray) -> torch.Tensor:
        """uint8 RGB frames (F, S, S, 3) -> unit vectors (F, D)."""
        pixels = torch.tensor(frames_FSS3, device=self.mean_3.device).float() / 255
        pixels_F3SS = ((pixels - self.mean_3) / self.std_3).permute(0, 3, 1, 2).contiguous()
        pooled_FH = self.model.vision_model(pixel_values=pixels_F3SS).pooler_output
        return nn.functional.normalize(self.model.visual_projection(pooled_FH).float(), dim=-1)

    def texts(self, prompts: Sequence[str]) -> torch.Tensor:
        """Prompts -> unit vectors (P, D)."""
        tokenizer = AutoTokenizer.from_pretrained(self.checkpoint)
        tokens = tokenizer(list(prompts), padding=True, truncation=True, return_tensors="pt").to(
            self.mean_3.device
        )
        pooled_PH = self.model.text_model(**tokens).pooler_output
        return nn.functional.normalize(self.model.text_projection(pooled_PH).float(), dim=-1)


def label_vectors(clip: Clip, prompts: Sequence[str], labels: Sequence[str]) -> torch.Tensor:
    """One unit vector per label (C, D): the mean over the prompts.

    This is CLIP's own prompt ensembling: Radford et al., Learning transferable visual models from
    natural language supervision, 2021, section 3.1.4. Raises UserError for a prompt without
    {label}.
    """
    if not prompts or not all("{label}" in prompt for prompt in prompts):
        raise UserError(
            f"model.prompts={list(prompts)}: expected one or more texts that contain {{label}}"
        )
    with torch.inference_mode():
        each = [clip.texts([prompt.format(label=label) for label in labels]) for prompt in prompts]
    return nn.functional.normalize(torch.stack(each).mean(0), dim=-1).clone()

"""The two encoders of CLIP and its like: frames to embeddings, and prompts to embeddings.

Reads a checkpoint folder of a type in CLIPS. Used by data/video.py, which caches the embeddings of
frames, by models/video.py, check.py and the report's strips of frames.

Axes: F frames, S pixels a side, D dimensions of the shared space, P prompts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoModel

from meld_lightning.errors import UserError
from meld_lightning.pretrained.loading import (
    explained,
    load_config,
    load_image_processor,
    load_model,
)
from meld_lightning.pretrained.text import text_tokenizer

# Model types that are taken; tests/pretrained/test_clip.py compares each with transformers' own
# scores. (SigLIP 2's checkpoints of one resolution are of type siglip.)
CLIPS = ("clip", "siglip", "altclip", "chinese_clip", "metaclip_2")


class Clip(nn.Module):
    """A CLIP, or a model like it, with frozen weights.

    checkpoint: a folder that from_pretrained loads, with processor and tokenizer.
    size: pixels a side of the frames it will get; None if it gets none.
    """

    def __init__(self, checkpoint: str | Path, size: int | None) -> None:
        super().__init__()
        config = clip_config(checkpoint)
        self.model: Any = load_model(AutoModel, checkpoint, config)
        self.model.requires_grad_(False)
        self.checkpoint = checkpoint
        self.tokenizer = text_tokenizer(checkpoint, config.text_config)
        wanted = config.vision_config.image_size
        if size not in (None, wanted):
            raise UserError(
                f"media.size={size}: {Path(checkpoint).name} takes frames of {wanted} pixels; run"
                f" with media.size={wanted}"
            )
        processor = load_image_processor(checkpoint)
        if processor.image_mean is None or processor.image_std is None:
            raise UserError(
                f"checkpoint folder {checkpoint}: its image processor has no image_mean or"
                " image_std, which say how pictures are normalised; add them to"
                " preprocessor_config.json"
            )
        self.register_buffer("mean_3", torch.tensor(processor.image_mean), persistent=False)
        self.register_buffer("std_3", torch.tensor(processor.image_std), persistent=False)
        self.mean_3: torch.Tensor
        self.std_3: torch.Tensor

    @property
    def scale(self) -> torch.Tensor:
        """The factor that turns cosines into logits. SigLIP also adds a bias, the same to every
        label's, which no softmax over labels sees."""
        return self.model.logit_scale.exp()

    def forward(self, frames_FSS3: np.ndarray) -> torch.Tensor:
        """As `images`: the interface of a frame encoder."""
        return self.images(frames_FSS3)

    def images(self, frames_FSS3: np.ndarray) -> torch.Tensor:
        """uint8 RGB frames (F, S, S, 3) -> unit vectors (F, D)."""
        pixels = torch.tensor(frames_FSS3, device=self.mean_3.device).float() / 255
        pixels_F3SS = ((pixels - self.mean_3) / self.std_3).permute(0, 3, 1, 2).contiguous()
        found = self.model.get_image_features(pixel_values=pixels_F3SS)
        return nn.functional.normalize(found.pooler_output.float(), dim=-1)

    def texts(self, prompts: Sequence[str]) -> torch.Tensor:
        """Prompts -> unit vectors (P, D)."""
        options: dict[str, Any] = {"padding": True}
        if self.model.config.model_type == "siglip":  # trained so, and reads the last position
            longest = self.model.config.text_config.max_position_embeddings
            options = {"padding": "max_length", "max_length": longest}
        with explained(self.checkpoint, "it cannot read model.prompts", "use another checkpoint"):
            tokens = self.tokenizer(list(prompts), truncation=True, return_tensors="pt", **options)
            read = {
                name: tokens[name].to(self.mean_3.device)
                for name in ("input_ids", "attention_mask")
                if name in tokens
            }
            found = self.model.get_text_features(**read)
        return nn.functional.normalize(found.pooler_output.float(), dim=-1)


def clip_config(checkpoint: str | Path) -> Any:
    """The checkpoint's config; UserError unless it is of a type in CLIPS."""
    config = load_config(checkpoint)
    if config.model_type not in CLIPS:
        raise UserError(
            f"checkpoint folder {checkpoint}: model type {config.model_type} is not a supported"
            f" encoder of pictures and texts; expected {', '.join(CLIPS)}"
        )
    return config


def embedding_size(checkpoint: str | Path) -> int:
    """Dimensions D of the space that frames and prompts share."""
    config = clip_config(checkpoint)
    if config.model_type == "siglip":
        return int(config.vision_config.hidden_size)
    return int(config.projection_dim)


def label_vectors(clip: Clip, prompts: Sequence[str], labels: Sequence[str]) -> torch.Tensor:
    """One unit vector per label (C, D): the mean over the prompts.

    This is CLIP's own prompt ensembling: Radford et al., Learning transferable visual models from
    natural language supervision, 2021, section 3.1.4. Raises UserError for a prompt that does
    not hold {label}, or holds other braces.
    """
    if not prompts or not all(_takes_label(prompt) for prompt in prompts):
        raise UserError(
            f"model.prompts={list(prompts)}: expected one or more texts that contain {{label}} and"
            " no other braces"
        )
    with torch.inference_mode():
        each = [clip.texts([prompt.format(label=label) for label in labels]) for prompt in prompts]
    return nn.functional.normalize(torch.stack(each).mean(0), dim=-1).clone()


def _takes_label(prompt: str) -> bool:
    """Whether str.format puts a label into the prompt, and needs nothing else."""
    try:
        return "\0" in prompt.format(label="\0")
    except (LookupError, ValueError, AttributeError):
        return False

"""Writes the mini corpus's wav2vec2: small and randomly initialised with a fixed seed. Used by
`prepare`."""

from pathlib import Path
from typing import Any

from meld_lightning.mini.checkpoints import MiniSources

SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    # wav2vec2-base's kernels, strides and group norm
    "conv_dim": (32, 32, 32, 48, 48, 64, 64),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "feat_proj_dropout": 0.0,
    "attention_dropout": 0.0,  # with it, torch's fast attention is not used on a CPU
    "mask_time_prob": 0.05,
}


def write(folder: Path, sources: MiniSources) -> None:
    """A wav2vec2 encoder as save_pretrained writes it."""
    from transformers import Wav2Vec2Model

    write_as(folder, Wav2Vec2Model)


def write_as(folder: Path, architecture: Any, **options: Any) -> None:
    """Saves a wav2vec2 of class `architecture`, randomly initialised with a fixed seed, and its
    feature extractor."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        architecture(Wav2Vec2Config(**SHAPE, **options)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)

"""Small real checkpoints and a small corpus of noise, made in a moment, for tests of datamodules
and models."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tokenizers
import torch
import transformers as tf
from tokenizers.pre_tokenizers import ByteLevel

from meld_lightning.data.sources import Sources
from meld_lightning.media import Media
from meld_lightning.storage.fingerprint import bytes_digest

LABELS = ("neutral", "joy", "anger")
TRAINING: dict[str, Any] = {  # what training hands to every model
    "labels": LABELS,
    "train_counts": np.array([5, 3, 2]),
    "optimizer": partial(torch.optim.AdamW, lr=1e-3),
    "scheduler": ("linear", 0.0),
    "total_steps": 4,
    "gradient_clip": 1.0,
    "seed": 1,
}
LOADING: dict[str, Any] = {  # what training hands to every datamodule
    "eval_batch_size": 64,
    "seed": 1,
    "workers": 0,
    "rank": 0,
    "world_size": 1,
    "microbatches": 1,
}
SPEECH: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 24,
}
TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}


def save_speech(folder: Path, kind: str = "Wav2Vec2", **config: Any) -> Path:
    """A random classifier of the architecture `kind`, as save_pretrained writes it."""
    torch.manual_seed(0)
    config_class = getattr(tf, f"{kind}Config")
    model_class = getattr(tf, f"{kind}ForSequenceClassification")
    model_class(config_class(**SPEECH, **config)).save_pretrained(folder)
    masked = config.get("feat_extract_norm") == "layer"
    tf.Wav2Vec2FeatureExtractor(return_attention_mask=masked).save_pretrained(folder)
    return folder


def save_whisper(folder: Path) -> Path:
    """A random Whisper with a head for classification."""
    config = tf.WhisperConfig(
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=8,
        vocab_size=99,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    torch.manual_seed(0)
    tf.WhisperForAudioClassification(config).save_pretrained(folder)
    tf.WhisperFeatureExtractor().save_pretrained(folder)
    return folder


def save_clip(folder: Path) -> Path:
    """A random CLIP for frames of 32 pixels, with its processor."""
    alphabet = sorted(ByteLevel.alphabet())
    words = [*alphabet, *(f"{sign}</w>" for sign in alphabet), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = tf.CLIPTokenizer(
        vocab={word: place for place, word in enumerate(words)}, merges=[], model_max_length=77
    )
    special = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")
    }
    torch.manual_seed(0)
    tf.CLIPModel(
        tf.CLIPConfig(
            text_config={**TOWER, **special, "vocab_size": len(tokenizer)},
            vision_config={**TOWER, "image_size": 32, "patch_size": 8},
            projection_dim=24,
        )
    ).save_pretrained(folder)
    pictures = tf.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    tf.CLIPProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


def save_bert(folder: Path, words: Sequence[str], **config: Any) -> Path:
    """A random BERT whose tokenizer knows these lower-case words, one token each; [MASK] among them
    becomes its mask token. config: keys of BertConfig that differ from TOWER."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words]
    inner = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(
            {word: place for place, word in enumerate(vocabulary)}, unk_token="[UNK]"
        )
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tf.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]" if "[MASK]" in words else None,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {**TOWER, "vocab_size": len(vocabulary), "max_position_embeddings": 512, **config}
    tf.BertModel(tf.BertConfig(**sizes)).save_pretrained(folder)
    return folder


class NoiseMedia(Media):
    """Decoded clips of noise, held in memory."""

    def __init__(self, frames: Sequence[int], samples: Sequence[int], size: int = 32) -> None:
        super().__init__(Path("unused"), {"size": size, "rate": 16000}, [])
        draw = np.random.default_rng(0)
        self._frames = [draw.integers(0, 256, (n, size, size, 3), np.uint8) for n in frames]
        self._waves = [draw.standard_normal(n).astype(np.float32) for n in samples]
        self.frame_counts, self.samples = np.array(frames), np.array(samples)

    def frames(self, row: int) -> np.ndarray:
        return self._frames[row]

    def waveform(self, row: int) -> np.ndarray:
        return self._waves[row]

    def digest(self, kind: str, rows: Sequence[int] | None = None) -> str:
        return bytes_digest(
            array.tobytes() for array in (self._frames if kind == "frames" else self._waves)
        )


def small_sources(cache: Path, **changes: Any) -> Sources:
    """Six utterances, two of each split."""
    splits = ["train", "train", "val", "val", "test", "test"]
    table = pd.DataFrame(
        {
            "key": [f"{split}/{row}" for row, split in enumerate(splits)],
            "split": splits,
            "text": "hello",
            "speaker": "Ann",
            "dialogue_id": [split[:1] for split in splits],
            "utterance_id": [0, 1] * 3,
            "label": [0, 1] * 3,
        }
    )
    given: Mapping[str, Any] = {
        "table": table,
        "labels": LABELS,
        "corpus_digest": "corpus",
        "media": NoiseMedia([2, 3, 1, 2, 1, 1], [900, 800, 700, 2000, 700, 750]),
        "checkpoint": None,
        "checkpoint_digest": "checkpoint",
        "cache": cache,
        "device": torch.device("cpu"),
        "precision": "32-true",
        "threads": 1,
    }
    return Sources(**{**given, **changes})

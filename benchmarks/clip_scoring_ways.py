"""The two ways of scoring frames that clip_scoring.py times, their models, and the comparison of
their scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from benchmarks.side_by_side import Timing, timed

LABELS = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
PROMPT = "a photo of a person feeling {label}"


class Tower(NamedTuple):
    """As transformers' CLIP configurations name them."""

    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    intermediate_size: int


class Shape(NamedTuple):
    """A CLIP's size; frames: how many a measurement takes."""

    projection_dim: int
    patch_size: int
    text: Tower
    vision: Tower
    frames: int


SHAPES = {
    # openai/clip-vit-base-patch32 and openai/clip-vit-large-patch14
    "base": Shape(512, 32, Tower(512, 8, 12, 2048), Tower(768, 12, 12, 3072), 64),
    "large": Shape(768, 14, Tower(768, 12, 12, 3072), Tower(1024, 16, 24, 4096), 16),
    "tiny": Shape(24, 32, Tower(32, 2, 2, 48), Tower(32, 2, 2, 48), 8),  # for trying the script out
}


@dataclass(frozen=True)
class Setting:
    """What one process needs to know. few: frames of the slower way."""

    checkpoint: str
    embeds: str
    frames: int
    few: int
    threads: int


def prepare(model: str, setting: Setting, cached: int) -> None:
    """A checkpoint of the model's shape as save_pretrained writes it, and `cached` embeddings of
    its width."""
    settle(setting)
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, set_seed

    shape, tokenizer = SHAPES[model], _tokenizer()
    special = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")
    }
    config = CLIPConfig(
        text_config=shape.text._asdict() | special,
        vision_config=shape.vision._asdict() | {"patch_size": shape.patch_size},
        projection_dim=shape.projection_dim,
        logit_scale_init_value=float(np.log(100)),  # what training arrives at
    )
    set_seed(1)
    CLIPModel(config).save_pretrained(setting.checkpoint)
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(setting.checkpoint)
    embeds_FD = (
        np.random.default_rng(1).normal(size=(cached, shape.projection_dim)).astype(np.float32)
    )
    np.save(
        setting.embeds,
        (embeds_FD / np.linalg.norm(embeds_FD, axis=1, keepdims=True)).astype(np.float16),
    )


def _tokenizer() -> Any:
    """CLIP's byte-pair encoding with a token for each word of the prompts, as CLIP's own vocabulary
    has them.

    Single letters would make the prompts longer than they are, and the pipeline slower.
    """
    from transformers import CLIPTokenizer

    prompts = [PROMPT.format(label=label) for label in LABELS]
    words = sorted({word for prompt in prompts for word in prompt.split()}, key=len, reverse=True)
    words.sort(key=lambda word: word != "sadness")  # before "neutral", whose first pair it contains
    parts = [[*word[:-1], f"{word[-1]}</w>"] for word in words]
    merges: Any = [
        ("".join(part[:end]), part[end]) for part in parts for end in range(1, len(part))
    ]
    letters = sorted(
        {letter for part in parts for letter in part}
        | {letter for word in words for letter in word}
    )
    tokens = dict.fromkeys(
        [*letters, *(start + end for start, end in merges), "<|startoftext|>", "<|endoftext|>"]
    )
    vocabulary = {token: place for place, token in enumerate(tokens)}
    tokenizer = CLIPTokenizer(
        vocab=vocabulary, merges=list(dict.fromkeys(merges)), model_max_length=77
    )
    assert all(len(tokenizer(prompt)["input_ids"]) == len(prompt.split()) + 2 for prompt in prompts)
    return tokenizer


def pictures(count: int) -> np.ndarray:
    """Frames of smooth colours: uint8 (count, 224, 224, 3)."""
    from PIL import Image

    small = np.random.default_rng(2).integers(0, 256, (count, 9, 9, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((224, 224))) for one in small])


def fast_bf16() -> bool:
    """Whether this CPU computes with bf16."""
    import torch

    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def ours(setting: Setting) -> Timing:
    """The project's way, the prompts' embedding included; freed memory is kept, as in the process
    of a run."""
    from meld_lightning.training.process import keep_freed_memory

    keep_freed_memory()
    scores = _ours(setting, fast_bf16())
    frames = pictures(setting.frames)
    scores(frames[:2])
    return timed(lambda: scores(frames), len)


def pipeline(setting: Setting) -> Timing:
    """Transformers' way."""
    scores = _pipeline(setting)
    frames = pictures(setting.few)
    scores(frames[:1])
    return timed(lambda: scores(frames), len)


def _ours(setting: Setting, bf16: bool) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    from meld_lightning.data.video import AT_ONCE
    from meld_lightning.pretrained.clip import Clip, label_vectors

    settle(setting)
    clip = Clip(setting.checkpoint, 224).eval()

    def scores(frames_FSS3: np.ndarray) -> np.ndarray:
        labels_CD = label_vectors(clip, [PROMPT], LABELS)
        parts = [
            frames_FSS3[start : start + AT_ONCE] for start in range(0, len(frames_FSS3), AT_ONCE)
        ]
        with torch.inference_mode():
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                embeds_FD = torch.cat([clip.images(part) for part in parts])
            return torch.softmax(clip.scale * embeds_FD @ labels_CD.T, dim=-1).numpy()

    return scores


def _pipeline(setting: Setting) -> Callable[[np.ndarray], np.ndarray]:
    import torch
    import transformers
    from PIL import Image

    settle(setting)
    make: Any = transformers.pipeline  # whose annotations know no task as a plain string
    classify = make(
        "zero-shot-image-classification",
        model=setting.checkpoint,
        dtype=torch.float32,
        device="cpu",
    )

    def scores(frames_FSS3: np.ndarray) -> np.ndarray:
        how = {"candidate_labels": list(LABELS), "hypothesis_template": PROMPT.format(label="{}")}
        found = [classify(Image.fromarray(frame), **how) for frame in frames_FSS3]
        by_label = [{one["label"]: one["score"] for one in frame} for frame in found]
        return np.array([[frame[label] for label in LABELS] for frame in by_label])

    return scores


def settle(setting: Setting) -> None:
    """To be called first: threads, and no greetings from transformers."""
    import torch
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    torch.set_num_threads(setting.threads)
    disable_progress_bar()
    set_verbosity_error()


def differences(setting: Setting) -> dict[str, float]:
    """Greatest differences of probabilities over `few` frames. bf16_*: of ours against itself;
    bf16_agrees is the share of frames whose best label stays the same. With random weights these
    two say little."""
    frames = pictures(setting.few)
    exact, rough = _ours(setting, False)(frames), _ours(setting, True)(frames)
    return {
        "scores": float(np.abs(exact - _pipeline(setting)(frames)).max()),
        "bf16_scores": float(np.abs(exact - rough).max()),
        "bf16_agrees": float((exact.argmax(1) == rough.argmax(1)).mean()),
    }

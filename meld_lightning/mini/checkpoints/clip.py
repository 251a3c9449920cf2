"""Writes the mini corpus's CLIP: a small model, trained on the frames of train and captions that
name their emotion.

Used by `prepare`. Axes: F frames of a batch, S pixels a side, D dimensions of the shared space, P
captions.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from meld_lightning.errors import UserError
from meld_lightning.mini.checkpoints import MiniSources

CAPTIONS = (
    "a photo of a person feeling {label}",
    "a face that shows {label}",
    "someone in a state of {label}",
)
STEPS, BATCH, RATE = 700, 64, 1e-3
ALIKE = 8  # frames that share one augmentation, which is faster than one each
VISION = {
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "image_size": 224,
    "patch_size": 32,
}
TEXT = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 77,
}


def write(folder: Path, sources: MiniSources) -> None:
    """Trains for a minute or two and saves model and processor; the same frames give the same
    weights."""
    from transformers.utils.logging import disable_progress_bar, set_verbosity_error

    disable_progress_bar()
    # before the import below, which reports which of two image processors it uses
    set_verbosity_error()
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    labels = sorted(set(sources.table["emotion"]))
    tokenizer = _tokenizer()
    special = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")
    }
    text = {**TEXT, **special, "vocab_size": len(tokenizer)}
    threads = torch.get_num_threads()
    # Another number rounds differently; and two are very slow if another process uses a core.
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=64))
        _train(model, tokenizer, sources, labels)
    torch.set_num_threads(threads)
    model.save_pretrained(folder)
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(folder)


def _tokenizer() -> Any:
    """CLIP's byte-level encoding with a vocabulary of single characters, so that nothing has to be
    learned."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{sign}</w>" for sign in alphabet), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: place for place, token in enumerate(tokens)}, merges=[], model_max_length=77
    )


def _train(model: Any, tokenizer: Any, sources: MiniSources, labels: list[str]) -> None:
    """Contrastive training on frames and captions; a caption matches every frame of its emotion in
    the batch."""
    rows = sources.rows
    if not sources.media.frame_counts[rows].any():
        raise UserError(
            "checkpoint mini:clip: no clip of the mini corpus's train split can be read; remove the"
            " mini corpus (corpus.root) and run: meld-lightning prepare"
        )
    frames_F3SS = np.concatenate(
        [sources.media.frames(int(row)).transpose(0, 3, 1, 2) for row in rows]
    )
    truth_F = sources.table["emotion"].to_numpy()[np.repeat(rows, sources.media.frame_counts[rows])]
    _, place, count = np.unique(truth_F, return_inverse=True, return_counts=True)
    # Rare emotions are oversampled, but not as far as balance.
    chance_F = 1 / np.sqrt(count[place])
    chance_F /= chance_F.sum()
    captions = tokenizer(
        [text.format(label=one) for text in CAPTIONS for one in labels],
        padding=True,
        return_tensors="pt",
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=STEPS, pct_start=0.15
    )
    rng = np.random.default_rng(0)
    pixels = torch.empty(BATCH, *frames_F3SS.shape[1:])  # written again at every step
    for _ in tqdm(range(STEPS), desc="mini:clip", unit="step", disable=None, mininterval=1):
        chosen = rng.choice(len(frames_F3SS), BATCH, p=chance_F)
        for start in range(0, BATCH, ALIKE):
            part = slice(start, start + ALIKE)
            _augment(frames_F3SS[chosen[part]], rng, pixels[part])
        images_FD = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
        texts_PD = model.text_projection(model.text_model(**captions).pooler_output)
        cosines = functional.normalize(images_FD, dim=-1) @ functional.normalize(texts_PD, dim=-1).T
        fits = torch.tensor(
            [[one == label for _ in CAPTIONS for label in labels] for one in truth_F[chosen]]
        ).float()
        logits = cosines * model.logit_scale.exp().clamp(max=100)
        loss = -(torch.log_softmax(logits, 1) * fits / fits.sum(1, keepdim=True)).sum(1).mean()
        present = fits.sum(0) > 0
        loss = (
            loss
            - (torch.log_softmax(logits, 0) * fits / fits.sum(0).clamp(min=1))
            .sum(0)[present]
            .mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _augment(frames_F3SS: np.ndarray, rng: np.random.Generator, pixels: torch.Tensor) -> None:
    """Writes the frames into `pixels` as CLIP reads them, shifted, mirrored, and with colours
    permuted and scaled, none of which changes what a face expresses."""
    down, across = rng.integers(-16, 17, size=2)
    moved = np.roll(
        frames_F3SS[:, rng.permutation(3), :, :: rng.choice([-1, 1])], (down, across), (2, 3)
    )
    gain = rng.uniform(0.7, 1.2) / 255
    mean, std = (
        torch.tensor(values)[:, None, None] for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)
    )
    pixels.copy_(torch.from_numpy(moved)).mul_(gain / std).sub_(mean / std)

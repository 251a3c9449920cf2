"""New prompts over frames that are embedded already: what clip_scoring.py times of them.

Axes: N clips, F frames, D dimensions, C labels.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clip_scoring_ways import LABELS, PROMPT, Setting, settle


def prompts_differ(setting: Setting) -> float:
    """Greatest difference between the logits of the project's batches and those of all frames at
    once."""
    model, path, starts = _cached(setting)
    return float((_clips(model, path, starts) - _at_once(model, path, starts)).abs().max())


def new_prompts(setting: Setting) -> dict[str, float]:
    """Milliseconds of wall clock, and of one CPU's time (cpu_*), with the embeddings' pages in
    memory."""
    from meld_lightning.pretrained.clip import Clip, label_vectors
    from meld_lightning.training.process import keep_freed_memory

    keep_freed_memory()  # as in the process of a run
    model, path, starts = _cached(setting)
    clip = Clip(setting.checkpoint, None).eval()
    works: dict[str, Callable[[], Any]] = {
        "text": lambda: label_vectors(clip, [PROMPT], LABELS),
        "clips": lambda: _clips(model, path, starts),
        "batches": lambda: sum(1 for _ in _loader(path, starts)),
        "at_once": lambda: _at_once(model, path, starts),
    }
    found = {}
    for name, work in works.items():
        # what only the first of many prompts pays: lazy imports, memory that the allocator keeps
        work()
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found[f"{name}_ms"] = 1000 * (time.perf_counter() - wall)
        found[f"cpu_{name}_ms"] = 1000 * (time.process_time() - cpu)
    return found


def _cached(setting: Setting) -> tuple[Any, str, np.ndarray]:
    """The model with its labels' vectors, the embeddings' file, and where each clip begins in it
    (about 10 frames)."""
    import torch

    from meld_lightning.models.video import ClipZeroShot

    settle(setting)
    training: Any = {
        "labels": LABELS,
        "train_counts": np.ones(len(LABELS)),
        "optimizer": partial(torch.optim.AdamW, lr=1e-3),
        "scheduler": ("linear", 0.0),
        "total_steps": 1,
        "gradient_clip": 0.0,
        "seed": 1,
    }
    model = ClipZeroShot("clip", setting.checkpoint, [PROMPT], "confidence", **training).eval()
    frames = len(np.load(setting.embeds, mmap_mode="r"))
    ends = np.cumsum(
        np.maximum(1, np.random.default_rng(3).lognormal(2.1, 0.65, frames)).astype(int)
    )
    return model, setting.embeds, np.concatenate([[0], ends[ends < frames], [frames]])


def _loader(path: str, starts: np.ndarray) -> Any:
    """The batches of VideoDataModule over these embeddings; its own constructor would want a corpus
    of clips."""
    import pandas as pd
    import torch

    from meld_lightning.data.datamodule import CorpusDataModule
    from meld_lightning.data.sources import Sources
    from meld_lightning.data.video import VideoDataModule

    class Cached(VideoDataModule):
        def __init__(self) -> None:
            self.embeds, self.starts, counts = np.load(path, mmap_mode="r"), starts, np.diff(starts)
            table = pd.DataFrame({"split": "test", "label": 0}, index=range(len(counts)))
            sources = Sources(
                table=table,
                labels=LABELS,
                corpus_digest="",
                media=None,
                checkpoint=None,
                checkpoint_digest="",
                cache=Path(path).parent,
                device=torch.device("cpu"),
                precision="32-true",
                threads=1,
            )
            CorpusDataModule.__init__(
                self,
                sources=sources,
                lengths_N=counts,
                present_N=counts > 0,
                eval_batch_size=64,
                seed=1,
                workers=0,
                rank=0,
                world_size=1,
                microbatches=1,
            )

    return Cached().scoring_dataloader("test")


def _clips(model: Any, path: str, starts: np.ndarray) -> Any:
    """Logits of every clip, by the project's batches: (N, C)."""
    import torch

    logits_NC = torch.empty(len(starts) - 1, len(LABELS))
    with torch.inference_mode():
        for batch in _loader(path, starts):
            logits_NC[batch.rows_N] = model(batch)
    return logits_NC


def _at_once(model: Any, path: str, starts: np.ndarray) -> Any:
    """The same without padding embeddings."""
    import torch

    from meld_lightning.models.video import aggregated

    counts_N = torch.from_numpy(np.diff(starts))
    with torch.inference_mode():
        embeds_FD = torch.from_numpy(np.load(path, mmap_mode="r").astype(np.float32))
        chances_FC = torch.softmax(model.scale * embeds_FD @ model.labels_CD.T, dim=-1)
        mask_NF = torch.arange(int(counts_N.max())) < counts_N[:, None]
        chances_NFC = torch.zeros(*mask_NF.shape, len(LABELS))
        chances_NFC[mask_NF] = chances_FC
        return torch.log(aggregated(chances_NFC, mask_NF, model.aggregation).clamp_min(1e-12))

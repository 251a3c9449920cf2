"""Run folders written in a moment with the package's own functions: many runs for lists, without
any training."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from meld_lightning.runs.logits import write_logits
from meld_lightning.runs.result import Result, split_metrics, write_result

LABELS = ("neutral", "joy")
UNITS = 12  # dialogues of four utterances each


def made_run(runs: Path, name: str, right: float = 0.5, **settings: Any) -> Path:
    """A finished run named by `name`, which is right on a share of val's utterances.

    settings: dotted keys of its config as `data.batch_size`; `device` and `corpus_digest` are those
        of its result.
    """
    folder = runs / f"text-{settings.get('model.name', 'bert')}" / name
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "best.ckpt").write_bytes(b"0" * 2000)
    config = configured(**{key: value for key, value in settings.items() if "_" not in key[:7]})
    OmegaConf.save(config, folder / "config.yaml")
    count = UNITS * 4
    true = np.arange(count) % 2
    predicted = np.where(np.arange(count) < right * count, true, 1 - true)
    logits = np.eye(2)[predicted] * 4.0
    table = pd.DataFrame(
        {
            "key": [f"val/{place}" for place in range(count)],
            "label": true,
            "unit": [f"dialogue {place // 4}" for place in range(count)],
            "present": True,
        }
    )
    for split in ("val", "test"):
        write_logits(folder / "logits" / f"{split}.parquet", table, logits, LABELS)
    metrics = {split: split_metrics(true, logits, LABELS) for split in ("train", "val", "test")}
    metrics["test"]["weighted_f1"] = 0.987654321  # recognisable: no list may show it
    best = {"monitor": "val/weighted_f1", "value": metrics["val"]["weighted_f1"], "epoch": 1}
    result = Result(
        hash=name,
        config_hash="c",
        result_version=1,
        modality="text",
        model=config.model.name,
        checkpoint="none",
        seed=config.seed,
        fold=None,
        labels=LABELS,
        train_majority="neutral",
        digests={"corpus": settings.get("corpus_digest", "0" * 12)},
        metrics=metrics,
        best={**best, "step": 10},
        commit="abcdef1234567",
        dirty=False,
        versions={"torch": settings.get("torch_version", "2.0")},
        device="cpu",
    )
    write_result(folder, result)
    return folder


def unfinished_run(runs: Path, name: str, **settings: Any) -> Path:
    """A run that was killed after its first checkpoint."""
    folder = runs / "text-bert" / name
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"0" * 3000)
    OmegaConf.save(configured(**settings), folder / "config.yaml")
    return folder


def configured(**settings: Any) -> Any:
    """The config of a text run, as far as a list reads it."""
    config = OmegaConf.create(
        {
            "target": "emotion",
            "corpus": {"name": "mini", "split": None},
            "seed": 1,
            "epochs": 3,
            "optimizer": {"_target_": "torch.optim.AdamW", "lr": 2e-5, "weight_decay": 0.01},
            "data": {"_target_": "meld_lightning.data.text.TextDataModule", "batch_size": 16},
            "model": {"_target_": "meld_lightning.models.text.TextClassifier", "name": "bert"},
            "paths": {"runs": "runs"},
        }
    )
    for key, value in settings.items():
        OmegaConf.update(config, key, value)
    return config

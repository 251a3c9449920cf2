"""What the tests of fusions share: logits whose best fusion is known, and small run folders."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from meld_lightning.corpus import EMOTIONS
from meld_lightning.fusion.joined import Joined, LogitsBatch, normalised
from meld_lightning.fusion.method import Fusion
from meld_lightning.mini.cues import draw_posteriors
from meld_lightning.runs.logits import logit_columns
from meld_lightning.runs.result import Result, write_result
from tests.running import CHECKOUT, folder_over

MODALITIES = ("text", "audio", "video")
MakeRun = Callable[..., Path]


def joined(logits_MNC: np.ndarray, labels_N: np.ndarray, present_MN: Any = None) -> Joined:
    """A split of its own: text, audio and video; every utterance a unit unless a test says else."""
    number = len(labels_N)
    if present_MN is None:
        present_MN = np.ones(logits_MNC.shape[:2], dtype=bool)
    return Joined(
        modalities=MODALITIES[: len(logits_MNC)],
        labels=EMOTIONS[: logits_MNC.shape[-1]],
        batch=LogitsBatch(normalised(logits_MNC), present_MN),
        labels_N=labels_N,
        keys_N=np.array([f"val/dia{row}_utt0" for row in range(number)], dtype=object),
        units_N=np.array([f"dia{row}" for row in range(number)], dtype=object),
    )


def drawn(number: int) -> tuple[Joined, np.ndarray]:
    """Utterances of the mini corpus's own model, as an overconfident, an underconfident and a
    calibrated model would score them, and each modality's true posteriors (M, N, C)."""
    posteriors_MNC, labels_N = draw_posteriors(number, seed=3)
    scale_M = np.array([2.0, 0.5, 1.0])
    logits_MNC = np.log(np.maximum(posteriors_MNC, 1e-6)) * scale_M[:, None, None]
    return joined(logits_MNC, labels_N), posteriors_MNC


def with_gaps(data: Joined, share: float = 0.4) -> Joined:
    """The same utterances, a share of each modality missing."""
    rng = np.random.default_rng(0)
    present_MN = rng.random(data.batch.present_MN.shape) >= share
    return Joined(**{**vars(data), "batch": data.batch._replace(present_MN=present_MN)})


def configured(name: str, *overrides: str) -> Fusion:
    """The fusion that `fusion=NAME` makes."""
    made = instantiate(composed(name, *overrides))
    assert isinstance(made, Fusion)
    return made


@cache
def composed(name: str, *overrides: str) -> DictConfig:
    """The node `fusion` of that choice."""
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        found = compose("fuse", [f"fusion={name}", *overrides]).fusion
    assert isinstance(found, DictConfig)
    return found


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As numerics.threads has it: small networks gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the reliability diagram, which takes as long as the rest of a small fusion."""
    monkeypatch.setattr("meld_lightning.fusion.calibration.draw_reliability", lambda *_: None)


@pytest.fixture
def make_run(prepared: Path, tmp_path: Path) -> MakeRun:
    """make_run("text", 0.7) -> the folder of a finished run that is right so often.

    It lies in a folder `work` over the prepared mini corpus. Options: the share of utterances that
    lack the modality, the shares of val and test that are right where they differ, the corpus's
    digest, and the name of the folder.
    """
    folder = folder_over(prepared, tmp_path / "work")
    corpus = next((prepared / "cache/corpus").glob("mini-*/corpus.parquet"))
    manifest = json.loads((corpus.parent / "manifest.json").read_text())
    table = pd.read_parquet(corpus)

    def make(
        modality: str,
        skill: float | tuple[float, float],
        *,
        missing: float = 0.0,
        digest: str = manifest["digest"],
        name: str = "abc",
    ) -> Path:
        rng = np.random.default_rng(len(modality))
        frames = {}
        of_split = skill if isinstance(skill, tuple) else (skill, skill)
        for split, right in zip(("val", "test"), of_split, strict=True):
            rows = table[table["split"] == split].sample(frac=1, random_state=len(modality))
            frame = rows[["key", "unit"]].reset_index(drop=True)
            frame["label"] = rows["emotion"].to_numpy()
            frame["present"] = rng.random(len(rows)) >= missing
            true_N = np.array([EMOTIONS.index(label) for label in frame["label"]])
            random_N = rng.integers(0, len(EMOTIONS), len(rows))
            predicted_N = np.where(rng.random(len(rows)) < right, true_N, random_N)
            frame[list(EMOTIONS)] = 2.0 * np.eye(len(EMOTIONS))[predicted_N]
            frames[split] = frame
        return write_run(folder / "runs" / f"{modality}-fake" / name, modality, frames, digest)

    return make


def write_run(
    folder: Path,
    modality: str,
    frames: dict[str, pd.DataFrame],
    digest: str,
    labels: Sequence[str] = EMOTIONS,
) -> Path:
    """A finished run with these logits, as far as a fusion reads one."""
    (folder / "logits").mkdir(parents=True)
    columns = ["key", "label", "unit", "present", *labels]
    prefixed = dict(zip(labels, logit_columns(labels), strict=True))
    for split, frame in frames.items():
        frame = frame[columns].astype(dict.fromkeys(labels, np.float32))
        frame.rename(columns=prefixed).to_parquet(folder / "logits" / f"{split}.parquet")
    result = Result(
        hash=f"{modality}-{folder.name}",
        config_hash="",
        result_version=1,
        modality=modality,
        model="fake",
        checkpoint=modality,
        seed=1,
        fold=None,
        labels=tuple(labels),
        train_majority=labels[0],
        digests={"corpus": digest},
        metrics={},
        best={},
        commit=None,
        dirty=False,
        versions={},
        device="cpu",
    )
    write_result(folder, result)
    (folder / "config.yaml").write_text("{}")
    return folder

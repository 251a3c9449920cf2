"""Loads the models of a run, a fusion or an export, with the fusion that combines and calibrates
them.

Reads run folders and what `export` wrote. Used by Predictor and by `export`.

Axes: M modalities, C classes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from meld_lightning.fusion.method import Fusion
from meld_lightning.fusion.state import load_fusion
from meld_lightning.inference.bundle import is_export, read_bundle
from meld_lightning.inference.loaded import LoadedModel, load_model
from meld_lightning.inference.members import FUSION, is_mini, member_runs
from meld_lightning.inference.score import Member
from meld_lightning.inference.val_scores import ValScores, calibrated_run, val_scores_of
from meld_lightning.runs.logits import logits_digest
from meld_lightning.runs.run import load_run
from meld_lightning.storage.fingerprint import digest_of
from meld_lightning.training.process import use_full_fp32


@dataclass(frozen=True)
class Source:
    """A run, a fusion or an export, loaded for prediction.

    Attributes:
        labels: names along the axis C.
        members: modality -> its model, in the order of the fusion's axis M.
        fusion: the fitted fusion, or a single run recalibrated on val.
        calibrated: its answers on val, for abstention and conformal sets.
        mini: whether it was trained on the mini corpus, or from a checkpoint made from it.
        digest: sixteen hex digits that change whenever its answers may.
    """

    folder: Path
    labels: tuple[str, ...]
    members: dict[str, Member]
    fusion: Fusion
    calibrated: ValScores
    mini: bool
    digest: str

    @property
    def prior_MC(self) -> np.ndarray:  # noqa: N802 -- its axes
        """The log-probabilities that each model gives an item without its modality."""
        return np.stack([member.model.prior_C for member in self.members.values()])

    def describe(self) -> str:
        """`text, audio and video, 7 labels: neutral, joy, ...`."""
        names = list(self.members)
        joined = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        return f"{joined}, {len(self.labels)} labels: {', '.join(self.labels)}"


def load_source(
    folder: str | Path,
    device: torch.device | None = None,
    cache: str | Path | None = None,
    *,
    int8: bool = False,
) -> Source:
    """The models and the fusion in `folder`: a finished run, a fusion run or an exported folder.

    device: where the models compute; None: the CPU.
    cache: where `prepare` recorded the checkpoints; None: the cache that each run was made with.
    int8: convert the models' linear layers to int8, for the CPU.

    Raises UserError, one line, if any of its files is missing or damaged.
    """
    folder, device = Path(folder).expanduser(), device or torch.device("cpu")
    found = _exported(folder) if is_export(folder) else _trained(folder)
    reads = found.fusion.reads_embeddings
    widths = dict(zip(found.folders, found.fusion.width_M.tolist(), strict=True)) if reads else {}
    members = {
        name: Member(
            _on(load_model(path, cache, int8=int8), device), device, width=widths.get(name)
        )
        for name, path in found.folders.items()
    }
    return Source(
        folder=folder,
        labels=found.fusion.labels,
        members=members,
        fusion=found.fusion,
        calibrated=found.calibrated,
        mini=found.mini,
        digest=digest_of([found.digest, int8], 16),
    )


@dataclass(frozen=True)
class _Found:
    """The contents of a folder: modality -> folder of its model, and fields of Source."""

    folders: dict[str, Path]
    fusion: Fusion
    calibrated: ValScores
    mini: bool
    digest: str


def _trained(folder: Path) -> _Found:
    run = load_run(folder)
    runs = member_runs(run)
    return _Found(
        {name: one.folder for name, one in runs.items()},
        load_fusion(folder) if run.result.modality == FUSION else calibrated_run(run),
        val_scores_of(run),
        any(map(is_mini, runs.values())),
        # a run that is made again keeps its hash; its logits follow its weights
        digest_of([run.result.hash, logits_digest(run.logits("val"))], 16),
    )


def _exported(folder: Path) -> _Found:
    bundle = read_bundle(folder)
    bundle.check_files()
    return _Found(
        {name: bundle.member_folder(name) for name in bundle.modalities},
        load_fusion(bundle.fusion_folder),
        ValScores.load(folder),
        bundle.mini,
        digest_of(bundle.sha256, 16),
    )


def _on(model: LoadedModel, device: torch.device) -> LoadedModel:
    use_full_fp32()  # as in training
    model.module.to(device)
    return model

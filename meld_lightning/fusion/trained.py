"""Fusions that a LightningModule scores: how they are fitted by gradients, saved and restored.

Used by learned.py, matrix.py, stacked.py and embeddings.py, which define the modules. Reads and
writes no files. Axes: M modalities, N utterances, C classes.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch.utils.data import DataLoader

from meld_lightning.fusion.joined import Joined, LogitsBatch, normalised
from meld_lightning.fusion.likelihood_ratio import EvidenceFusion

PREFIX = "module."  # of the module's weights among a fusion's arrays


class EvidenceBatch(NamedTuple):
    """What a module is fitted on: evidence, which modalities are present, true labels and, for a
    fusion that reads them, embeddings (N, D) of each modality."""

    evidence_MNC: torch.Tensor
    present_MN: torch.Tensor
    labels_N: torch.Tensor
    embeddings_M: tuple[torch.Tensor, ...] = ()


class TrainedFusion(EvidenceFusion):
    """Base of the fusions whose scores a LightningModule computes from evidence (N, C)."""

    steps: int
    module: pl.LightningModule

    @abstractmethod
    def make_module(self) -> pl.LightningModule:
        """A module to fit or to restore; called with (evidence_MNC, present_MN) and the embeddings
        of each modality, if the fusion reads them, it gives (N, C)."""

    def take_from(self, batch: EvidenceBatch) -> None:
        """Sets what the new module takes from the data before it is fitted by gradients."""

    def fit_to_evidence(self, evidence_MNC: np.ndarray, data: Joined, seed: int) -> None:
        batch = EvidenceBatch(
            torch.tensor(evidence_MNC),
            torch.tensor(data.batch.present_MN),
            torch.tensor(data.labels_N),
            self.embeddings(data.batch),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = self.make_module()
            self.take_from(batch)
            fit_module(self.module, batch, self.steps)

    def __call__(self, batch: LogitsBatch) -> np.ndarray:
        evidence_MNC, present_MN = self.evidence(batch), self.present(batch)
        with torch.inference_mode():
            scores_NC = self.module(
                torch.tensor(evidence_MNC), torch.tensor(present_MN), *self.embeddings(batch)
            )
        return normalised(scores_NC.numpy())

    def embeddings(self, batch: LogitsBatch) -> tuple[torch.Tensor, ...]:
        """The embeddings that the module reads, (N, D) of each modality, in float64."""
        if not self.reads_embeddings:
            return ()
        return tuple(torch.tensor(one_ND, dtype=torch.float64) for one_ND in batch.embeddings_M)

    def arrays(self) -> dict[str, np.ndarray]:
        weights = self.module.state_dict()
        return {
            **super().arrays(),
            **{f"{PREFIX}{name}": value.numpy() for name, value in weights.items()},
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets the fitted weights; ValueError if they are another module's."""
        super().restore(arrays)
        weights = {
            name.removeprefix(PREFIX): torch.tensor(value)
            for name, value in arrays.items()
            if name.startswith(PREFIX)
        }
        try:
            with torch.device("meta"):  # takes no memory, however large the settings make it
                self.make_module().load_state_dict(weights, assign=True)
            with torch.random.fork_rng(devices=[]):  # making it draws weights, overwritten here
                self.module = self.make_module()
            self.module.load_state_dict(weights)
        except RuntimeError as error:  # sizes that cannot be, or names or shapes of another module
            raise ValueError(" ".join(str(error).split())) from error
        self.module.eval()


def fit_module(module: pl.LightningModule, batch: EvidenceBatch, steps: int) -> None:
    """Takes `steps` steps, each on all rows: a few thousand rows of logits need no mini-batches."""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        plugins=[LightningEnvironment()],  # one process, also inside a Slurm job
    )
    trainer.fit(module, DataLoader([batch] * steps, batch_size=None))  # type: ignore[arg-type]
    module.eval()

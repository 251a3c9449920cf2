"""What the modules of all modalities share: loss, metrics of a whole split, optimiser, and per-step
seeds.

Reads batches with `labels_N`, `rows_N`, `owned_N`, `labels_G`; knows nothing of files. A modality's
module adds `forward(batch) -> logits_NC`.

Axes: N utterances of a batch, G of the global batch, C classes.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional

from meld_lightning import metrics
from meld_lightning.errors import UserError
from meld_lightning.training.memory import recount

ClassWeights = Literal["none", "inverse", "effective"]


class Scored(NamedTuple):
    """Logits of one batch and the corpus rows they belong to."""

    rows_N: torch.Tensor
    labels_N: torch.Tensor
    logits_NC: torch.Tensor


def class_weights(counts: np.ndarray, kind: ClassWeights, beta: float = 0.999) -> torch.Tensor:
    """Weight of each class (C,), mean 1 over the classes that occur; a class that does not occur
    weighs 0.

    `inverse`: proportional to 1 / n. `effective`: to (1 - beta) / (1 - beta^n), Cui et al.,
    Class-balanced loss based on effective number of samples, CVPR 2019, equation 2.
    """
    present = counts > 0
    if kind == "none":
        return torch.ones(len(counts))
    raw = np.zeros(len(counts))
    raw[present] = (
        1 / counts[present] if kind == "inverse" else (1 - beta) / (1 - beta ** counts[present])
    )
    return torch.tensor(raw / raw[present].mean(), dtype=torch.float32)


class Classifier(pl.LightningModule):
    """Base of the modules.

    Args:
        train_counts: training utterances per class (C,).
        weighting: how the loss weighs classes; the weights' sum over the global batch normalises
            it, as in torch.nn.CrossEntropyLoss.
        label_smoothing: as in torch.nn.CrossEntropyLoss.
        optimizer: from parameter groups to an optimiser.
        scheduler: name and warm-up share for transformers.get_scheduler.
        total_steps: optimiser steps of the whole fit. (Not asked of the Trainer: its
            estimated_stepping_batches makes the training loader before a checkpoint is restored,
            which then no longer finds its place in the epoch.)
        gradient_clip: largest norm of all gradients together; 0 is no clipping.
        seed: dropout of step k on rank r is drawn from (seed, k, r) alone, and which piece of the
            batch it is, so that a resumed run repeats it.
    """

    def __init__(
        self,
        *,
        train_counts: np.ndarray,
        weighting: ClassWeights,
        label_smoothing: float,
        optimizer: Callable[[Iterable[dict[str, Any]]], torch.optim.Optimizer],
        scheduler: tuple[str, float],
        total_steps: int,
        gradient_clip: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.class_weights_C: torch.Tensor
        self.prior_C: (
            torch.Tensor
        )  # logits of an utterance that lacks the modality: train's own shares, add-one
        self.register_buffer(
            "class_weights_C", class_weights(train_counts, weighting), persistent=False
        )
        self.register_buffer(
            "prior_C", torch.log(torch.tensor(train_counts + 1.0)), persistent=False
        )
        self.label_smoothing, self.gradient_clip, self.seed = label_smoothing, gradient_clip, seed
        self.make_optimizer, self.scheduler, self.total_steps = optimizer, scheduler, total_steps
        self.fit_loss = torch.zeros(
            2
        )  # this epoch's weighted loss and weight so far, this rank's share
        self.val_metrics: dict[str, float] = {}
        self._scored: list[Scored] = []

    def forward(self, batch: Any) -> torch.Tensor:
        """Logits (N, C) of a batch."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        piece = batch_idx % self.trainer.accumulate_grad_batches
        own = np.random.SeedSequence(
            [self.seed, self.global_step, self.global_rank, piece]
        ).generate_state(1)[0]
        torch.manual_seed(own)
        np.random.seed(own)  # transformers draws the masks of SpecAugment from numpy

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """Weighted cross-entropy over the global batch: DDP averages ranks and Lightning the pieces
        of a batch, so each scales its share by their count."""
        losses_N = self.losses(batch)
        total = (losses_N * batch.owned_N).sum()
        weights_N = self.class_weights_C[batch.labels_N] * batch.owned_N
        self.fit_loss = self.fit_loss.to(self.device) + torch.stack(
            [total.detach(), weights_N.sum()]
        )
        return (
            total
            * (self.trainer.world_size * self.trainer.accumulate_grad_batches)
            / self.class_weights_C[batch.labels_G].sum()
        )

    def losses(self, batch: Any) -> torch.Tensor:
        """Each utterance's loss (N,), weighted by its class."""
        return self.cross_entropy(self(batch).float(), batch.labels_N)

    def cross_entropy(self, logits_NC: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
        """Weighted and smoothed as configured (N,)."""
        return functional.cross_entropy(
            logits_NC,
            labels_N,
            weight=self.class_weights_C,
            label_smoothing=self.label_smoothing,
            reduction="none",
        )

    def epoch_fit_loss(self) -> float:
        """Mean training loss of the epoch over all ranks; starts the next epoch's sum."""
        total, self.fit_loss = self._fit_loss_by_rank().sum(0), torch.zeros(2)
        return float(total[0] / total[1])

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # here rather than by the Trainer: Lightning refuses to clip for a fused optimiser under
        # mixed precision
        if self.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self.parameters(), self.gradient_clip)

    def predict_step(self, batch: Any, batch_idx: int) -> Scored:
        """Logits in fp32 on the CPU, with their rows."""
        logits_NC = self(batch).float()
        return Scored(batch.rows_N.cpu(), batch.labels_N.cpu(), logits_NC.cpu())

    def on_validation_epoch_start(self) -> None:
        self._scored = []

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._scored.append(self.predict_step(batch, batch_idx))

    def on_validation_epoch_end(self) -> None:
        """Metrics of the whole split, the same on every rank, each utterance counted once."""
        _, labels, logits = self.completed(
            self._scored, "val", getattr(self.trainer, "datamodule", None)
        )
        self._scored = []
        if not np.isfinite(logits).all():
            raise UserError(
                f"epoch {self.current_epoch + 1}: the model's outputs are not finite any more;"
                " lower optimizer.lr or raise scheduler.warmup"
            )
        self.val_metrics = metrics.scores(labels, logits)

    def completed(
        self, scored: list[Scored], split: str, datamodule: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows (N,), labels (N,) and logits (N, C) of a split, ordered by row: all ranks' batches,
        and for rows that lack the modality the prior of train, so that they stay in the
        denominator."""
        rows, labels, logits = gathered(scored, self.trainer.world_size, len(self.prior_C))
        absent = datamodule.absent(split)
        rows, order = (
            np.sort(np.concatenate([rows, absent])),
            np.argsort(np.concatenate([rows, absent])),
        )
        labels = np.concatenate([labels, datamodule.labels_N[absent]])[order]
        prior_C = torch.log_softmax(self.prior_C.cpu(), 0).numpy()
        return rows, labels, np.concatenate([logits, np.tile(prior_C, (len(absent), 1))])[order]

    def configure_optimizers(self) -> Any:
        """Weight decay for matrices only (biases and norms are left alone, as in the original BERT
        recipe)."""
        from transformers import get_scheduler

        parameters = [p for p in self.parameters() if p.requires_grad]
        optimizer = self.make_optimizer(
            [
                {"params": [p for p in parameters if p.ndim > 1]},
                {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
            ]
        )
        name, warmup = self.scheduler
        warmup_steps = round(warmup * self.total_steps)
        schedule = get_scheduler(name, optimizer, warmup_steps, num_training_steps=self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["fit_loss"] = self._fit_loss_by_rank().cpu()
        checkpoint["pieces"] = self.trainer.accumulate_grad_batches

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.fit_loss = checkpoint["fit_loss"][self.global_rank].clone()
        batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        recount(batches, checkpoint.get("pieces", 1), self.trainer.accumulate_grad_batches)

    def _fit_loss_by_rank(self) -> torch.Tensor:
        """(ranks, 2): each rank resumes from its own sum, since adding them up earlier would round
        otherwise."""
        mine = self.fit_loss.to(self.device)
        parts = [torch.empty_like(mine) for _ in range(self.trainer.world_size)]
        if self.trainer.world_size > 1:
            torch.distributed.all_gather(parts, mine)
        else:
            parts = [mine]
        return torch.stack(parts)


class AddedUp(torch.autograd.Function):
    """A tensor's sum over all ranks, and its gradient's (that of torch.distributed.nn is
    deprecated)."""

    @staticmethod
    def forward(ctx: Any, part: torch.Tensor) -> torch.Tensor:
        total = part.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return AddedUp.apply(gradients[0])


class Standardise(nn.BatchNorm1d):
    """Features (N, D) at mean 0 and deviation 1 over the batches seen so far, which a batch of one
    says nothing of.

    Training goes by the mean and deviation of the batch itself: under DDP of all ranks' batches,
    each row counted once. Where memory has a batch taken in pieces it goes by each piece's own, so
    that such a run only comes close to one with memory enough.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, affine=False)

    def forward(self, features_ND: torch.Tensor, owned_N: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        if self.training and torch.distributed.is_initialized():
            return self._over_ranks(features_ND, owned_N)
        if len(features_ND) > 1:
            return super().forward(features_ND)
        return self._as_known(features_ND)

    def _as_known(self, features_ND: torch.Tensor) -> torch.Tensor:
        return functional.batch_norm(
            features_ND, self.running_mean, self.running_var, training=False, eps=self.eps
        )

    def _over_ranks(self, features_ND: torch.Tensor, owned_N: torch.Tensor) -> torch.Tensor:
        """As torch.nn.SyncBatchNorm, which computes on GPUs alone and counts every row."""
        features_ND, own_N1 = features_ND.float(), owned_N.unsqueeze(1).float()
        count_1, sum_D = AddedUp.apply(
            torch.cat([own_N1, features_ND * own_N1], 1).sum(0)
        ).tensor_split([1])
        count = count_1.item()
        if count < 2:
            return self._as_known(features_ND)
        mean_D = sum_D / count
        spread_D = AddedUp.apply((((features_ND - mean_D) ** 2) * own_N1).sum(0)) / count
        with torch.no_grad():
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            for known_D, new_D in (
                (self.running_mean, mean_D),
                (self.running_var, spread_D * count / (count - 1)),
            ):
                assert known_D is not None
                known_D.lerp_(new_D, self.momentum or 0.0)
        return (features_ND - mean_D) * torch.rsqrt(spread_D + self.eps)


def gathered(
    scored: list[Scored], world_size: int, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (N,), labels (N,) and logits (N, C) of all ranks' batches, ordered by row."""
    none = Scored(torch.zeros(0).long(), torch.zeros(0).long(), torch.zeros(0, classes))
    mine = tuple(torch.cat(part).numpy() for part in zip(none, *scored, strict=True))
    parts: list[Any] = [mine]
    if world_size > 1 and torch.distributed.is_initialized():
        parts = [None] * world_size
        torch.distributed.all_gather_object(parts, mine)
    rows, labels, logits = (np.concatenate([part[field] for part in parts]) for field in range(3))
    order = np.argsort(rows)
    return rows[order], labels[order], logits[order]

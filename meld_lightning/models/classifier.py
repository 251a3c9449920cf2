"""Base of all models: loss, validation metrics, optimiser, and a random seed per step.

Reads batches with `labels_N`, `rows_N`, `owned_N` and `labels_G`. A model adds
`forward(batch) -> logits_NC`. Used by training.

Axes: N utterances of a batch (of a split, in completed), G of the global batch, C classes, R rows
of the corpus table.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from meld_lightning.errors import UserError
from meld_lightning.models.class_weights import ClassWeights
from meld_lightning.models.class_weights import class_weights as weight_of_classes
from meld_lightning.models.losses import Loss, utterance_losses
from meld_lightning.models.not_finite import FirstNotFinite
from meld_lightning.models.scoring import (
    ScoredBatch,
    SplitScores,
    gathered,
    mostly_not_finite,
    with_prior,
)


class Classifier(pl.LightningModule):
    """Base of the models.

    Args:
        train_counts: training utterances per class (C,).
        class_weights: how the loss weighs classes: equally, by inverse frequency, or by effective
            number of samples. The loss of a global batch is divided by the sum of its utterances'
            weights, as in torch.nn.CrossEntropyLoss.
        label_smoothing: as in torch.nn.CrossEntropyLoss.
        loss: cross-entropy, or a variant for rare classes: focal counts utterances less the better
            they are learnt; logit_adjusted learns logits that ignore how common a class is.
        optimizer: makes an optimiser from parameter groups.
        scheduler: name and warm-up share for transformers.get_scheduler.
        total_steps: optimiser steps of the complete fit. (The Trainer's estimated_stepping_batches
            cannot be used: it creates the training loader before a checkpoint is restored, and the
            loader would then start at the wrong batch.)
        gradient_clip: largest norm of all gradients together; 0 disables clipping.
        seed: the random numbers of a step (dropout, masks) depend on (seed, step, rank, microbatch)
            alone, so that a resumed run draws the same ones.
    """

    def __init__(
        self,
        *,
        train_counts: np.ndarray,
        class_weights: ClassWeights,
        label_smoothing: float,
        loss: Loss = "cross_entropy",
        optimizer: Callable[[Iterable[dict[str, Any]]], torch.optim.Optimizer],
        scheduler: tuple[str, float],
        total_steps: int,
        gradient_clip: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.class_weights_C: torch.Tensor
        self.register_buffer(
            "class_weights_C", weight_of_classes(train_counts, class_weights), persistent=False
        )
        # logits of an utterance that lacks the modality: the log of train's class counts, add-one
        # smoothed, which is that of the class shares up to a constant
        self.log_prior_C: torch.Tensor
        self.register_buffer(
            "log_prior_C", torch.log(torch.tensor(train_counts + 1.0)), persistent=False
        )
        self.soft_labels_RC: torch.Tensor | None
        self.register_buffer("soft_labels_RC", None, persistent=False)
        self.label_smoothing, self.gradient_clip, self.seed = label_smoothing, gradient_clip, seed
        self.loss = loss
        self.make_optimizer, self.scheduler, self.total_steps = optimizer, scheduler, total_steps
        # this epoch's summed loss and summed class weights, of this rank's utterances
        self.fit_loss = torch.zeros(2)
        self.first_not_finite = FirstNotFinite()
        self.val_scores = SplitScores(len(train_counts))
        self.val_metrics: dict[str, float] = {}

    def forward(self, batch: Any) -> torch.Tensor:
        """Logits (N, C) of a batch."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """The batch on `device`, except for fields that it wants to keep on the CPU."""
        moved = super().transfer_batch_to_device(batch, device, dataloader_idx)
        kept = batch.kept_on_cpu() if hasattr(batch, "kept_on_cpu") else ()
        return moved._replace(**{name: getattr(batch, name) for name in kept}) if kept else moved

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        microbatch = batch_idx % self.trainer.accumulate_grad_batches
        step_seed = np.random.SeedSequence(
            [self.seed, self.global_step, self.global_rank, microbatch]
        ).generate_state(1)[0]
        torch.manual_seed(step_seed)
        np.random.seed(step_seed)  # transformers draws SpecAugment's masks from numpy

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """The mean of `losses` over the global batch, weighted by class.

        DDP averages gradients over ranks, and Lightning over microbatches: each share is scaled up
        by their number, so that the average is the loss of the global batch.
        """
        losses_N = self.losses(batch)
        self.first_not_finite.update(losses_N.detach(), batch.rows_N, self.trainer.global_step)
        total = (losses_N * batch.owned_N).sum()
        weights_N = self.class_weights_C[batch.labels_N] * batch.owned_N
        self.fit_loss = self.fit_loss.to(self.device) + torch.stack(
            [total.detach(), weights_N.sum()]
        )
        shares = self.trainer.world_size * self.trainer.accumulate_grad_batches
        return total * shares / self.class_weights_C[batch.labels_G].sum()

    def losses(self, batch: Any) -> torch.Tensor:
        """Loss of each utterance (N,), weighted by its class."""
        return self.weighted_losses(self(batch).float(), self.targets(batch))

    def use_soft_labels(self, soft_labels_RC: np.ndarray) -> None:
        """Trains on probabilities in place of labels. soft_labels_RC: those of every row of the
        corpus table."""
        soft = torch.from_numpy(soft_labels_RC)
        self.register_buffer("soft_labels_RC", soft, persistent=False)

    def targets(self, batch: Any) -> torch.Tensor:
        """What the batch's utterances are trained on: labels (N,) or probabilities (N, C)."""
        return batch.labels_N if self.soft_labels_RC is None else self.soft_labels_RC[batch.rows_N]

    def weighted_losses(self, logits_NC: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of each utterance (N,), or the variant of it that `loss` names, with the
        class weights and label smoothing. targets: see `targets`."""
        return utterance_losses(
            self.loss,
            logits_NC,
            targets,
            self.log_prior_C,
            self.class_weights_C,
            self.label_smoothing,
        )

    def epoch_fit_loss(self) -> float:
        """Mean training loss of the epoch over all ranks; resets the sum for the next epoch."""
        total, self.fit_loss = self._fit_loss_by_rank().sum(0), torch.zeros(2)
        return float(total[0] / total[1])

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # not by the Trainer, which refuses to clip for a fused optimiser under mixed precision
        if self.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self.parameters(), self.gradient_clip)

    def predict_step(self, batch: Any, batch_idx: int) -> ScoredBatch:
        """Logits in float32 on the CPU, with their rows."""
        logits_NC = self(batch).float()
        # only the last copy waits for the device, and thereby for the first two
        rows_N, labels_N = (
            one.to("cpu", non_blocking=True) for one in (batch.rows_N, batch.labels_N)
        )
        return ScoredBatch(rows_N, labels_N, logits_NC.cpu())

    def last_layer(self) -> nn.Module:
        """The layer that reads the pooled embedding of an utterance: the last linear one."""
        linear = [one for one in self.modules() if hasattr(one, "in_features")]
        if not linear:
            raise UserError(
                f"{type(self).__name__} has no linear layer, whose input would be its embedding:"
                " define last_layer, or choose a fusion of logits"
            )
        return linear[-1]

    def score_and_embed(self, batch: Any) -> tuple[ScoredBatch, torch.Tensor]:
        """As predict_step, and each utterance's pooled embedding (N, D), float32 on the CPU."""
        read: list[torch.Tensor] = []
        with self.last_layer().register_forward_pre_hook(lambda _, given: read.append(given[0])):
            scored = self.predict_step(batch, 0)
        return scored, torch.cat(read).float().cpu()

    def on_validation_epoch_start(self) -> None:
        self.val_scores.reset()
        if culprit := self.first_not_finite.culprit(self._from_all_ranks):
            datamodule: Any = getattr(self.trainer, "datamodule", None)
            raise UserError(culprit.message(str(datamodule.table["key"].iloc[culprit.row])))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        scored = self.predict_step(batch, batch_idx)
        logits_NC, finite_N = with_prior(scored.logits_NC, self._prior_logits(1))
        self.val_scores.update(scored.labels_N, logits_NC)
        device = self.val_scores.finite.device
        self.val_scores.finite.update(finite_N.float().to(device, non_blocking=True))

    def on_validation_epoch_end(self) -> None:
        """Metrics of val, the same on every rank, each utterance counted once."""
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        if self.global_rank == 0:
            labels_N = torch.from_numpy(datamodule.labels_N[datamodule.absent("val")])
            self.val_scores.update(labels_N, self._prior_logits(len(labels_N)))
        found = self.val_scores.compute()
        if mostly_not_finite(1 - float(self.val_scores.finite.compute()), 1):
            raise UserError(
                f"epoch {self.current_epoch + 1}: the model's outputs are no longer finite;"
                " lower optimizer.lr or raise scheduler.warmup"
            )
        self.val_metrics = found

    def completed(
        self, scored: list[ScoredBatch], split: str, datamodule: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of all utterances of a split, ordered by row: their rows (N,), labels (N,) and logits
        (N, C), and whether the logits that the model gave are finite (N,).

        scored: this rank's batches; those of the other ranks are gathered. Utterances that lack the
        modality, or whose logits are not finite, get the log of train's class shares, so that they
        stay in the denominator.
        """
        rows_N, labels_N, logits_NC = gathered(
            scored, self.trainer.world_size, len(self.log_prior_C)
        )
        absent = datamodule.absent(split)
        rows_N = np.concatenate([rows_N, absent])
        labels_N = np.concatenate([labels_N, datamodule.labels_N[absent]])
        logits_NC = np.concatenate([logits_NC, self._prior_logits(len(absent)).numpy()])
        order = np.argsort(rows_N)
        logits, finite = with_prior(torch.from_numpy(logits_NC[order]), self._prior_logits(1))
        return rows_N[order], labels_N[order], logits.numpy(), finite.numpy()

    def _prior_logits(self, count: int) -> torch.Tensor:
        """Logits (count, C) of utterances that lack the modality."""
        return torch.log_softmax(self.log_prior_C.cpu(), 0).repeat(count, 1)

    def lr_factor(self, parameter: str) -> float:
        """What a parameter's learning rate is multiplied by, given its name."""
        return 1.0

    def configure_optimizers(self) -> Any:
        """The optimiser and its schedule, advanced at every step.

        Weight decay applies to matrices only; biases and norms have none, as in BERT's recipe.
        """
        from transformers import get_scheduler

        by_factor: dict[float, list[nn.Parameter]] = {}
        for parameter_name, parameter in self.named_parameters():
            if parameter.requires_grad:
                by_factor.setdefault(self.lr_factor(parameter_name), []).append(parameter)
        groups: list[dict[str, Any]] = []
        for parameters in by_factor.values():
            groups.append({"params": [p for p in parameters if p.ndim > 1]})
            groups.append({"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0})
        optimizer = self.make_optimizer(groups)
        factors = np.repeat(list(by_factor), 2)
        for group, factor in zip(optimizer.param_groups, factors, strict=True):
            group["lr"] *= float(factor)
        name, warmup = self.scheduler
        warmup_steps = round(warmup * self.total_steps)
        schedule = get_scheduler(name, optimizer, warmup_steps, num_training_steps=self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["fit_loss"] = self._fit_loss_by_rank().cpu()
        note = self.first_not_finite.note.to(self.device)
        checkpoint["first_not_finite"] = self._from_all_ranks(note).cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.fit_loss = checkpoint["fit_loss"][self.global_rank].clone()
        if "first_not_finite" in checkpoint:  # absent where an earlier version was interrupted
            self.first_not_finite.note = checkpoint["first_not_finite"][self.global_rank].clone()

    def _fit_loss_by_rank(self) -> torch.Tensor:
        """`fit_loss` of each rank (ranks, 2).

        Each rank resumes from its own sum: one total of all ranks would round differently.
        """
        return self._from_all_ranks(self.fit_loss.to(self.device))

    def _from_all_ranks(self, mine: torch.Tensor) -> torch.Tensor:
        """A tensor of each rank (ranks, ...), in the order of the ranks."""
        if self.trainer.world_size == 1:
            return mine[None]
        parts = [torch.empty_like(mine) for _ in range(self.trainer.world_size)]
        torch.distributed.all_gather(parts, mine)
        return torch.stack(parts)

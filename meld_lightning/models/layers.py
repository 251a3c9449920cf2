"""Layers that several models share and torch does not have.

Used by models/audio.py and models/video.py.

Axes: N utterances of this rank's batch, D features.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class SumOverRanks(torch.autograd.Function):
    """Sums a tensor over all DDP ranks; the backward pass sums its gradient over them too.

    (The equivalent in torch.distributed.nn is deprecated.)
    """

    @staticmethod
    def forward(ctx: Any, part: torch.Tensor) -> torch.Tensor:
        total = part.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return SumOverRanks.apply(gradients[0])


class Standardise(nn.BatchNorm1d):
    """Scales features (N, D) to mean 0 and standard deviation 1: batch normalisation without
    learnt parameters.

    Training uses the mean and deviation of the current batch; under DDP, of all ranks' batches
    together, with each utterance counted once. Evaluation, and a training batch of one utterance,
    use the running estimates. With gradient accumulation each microbatch is normalised by itself,
    so such a run only approximates one without accumulation.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, affine=False)

    def forward(self, features_ND: torch.Tensor, owned_N: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        if self.training and torch.distributed.is_initialized():
            return self._over_ranks(features_ND, owned_N)
        if len(features_ND) > 1:
            return super().forward(features_ND)
        return self._by_running_estimates(features_ND)

    def _by_running_estimates(self, features_ND: torch.Tensor) -> torch.Tensor:
        return functional.batch_norm(
            features_ND, self.running_mean, self.running_var, training=False, eps=self.eps
        )

    def _over_ranks(self, features_ND: torch.Tensor, owned_N: torch.Tensor) -> torch.Tensor:
        """Like torch.nn.SyncBatchNorm, which runs on GPUs only and counts repeated utterances."""
        features_ND, own_N1 = features_ND.float(), owned_N.unsqueeze(1).float()
        sums = SumOverRanks.apply(torch.cat([own_N1, features_ND * own_N1], 1).sum(0))
        count_1, sum_D = sums.tensor_split([1])
        count = count_1.item()
        if count < 2:
            return self._by_running_estimates(features_ND)
        mean_D = sum_D / count
        variance_D = SumOverRanks.apply((((features_ND - mean_D) ** 2) * own_N1).sum(0)) / count
        self._update_running_estimates(mean_D, variance_D * count / (count - 1))
        return (features_ND - mean_D) * torch.rsqrt(variance_D + self.eps)

    @torch.no_grad()
    def _update_running_estimates(self, mean_D: torch.Tensor, variance_D: torch.Tensor) -> None:
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        for running_D, new_D in (
            (self.running_mean, mean_D),
            (self.running_var, variance_D),
        ):
            assert running_D is not None
            running_D.lerp_(new_D, self.momentum or 0.0)

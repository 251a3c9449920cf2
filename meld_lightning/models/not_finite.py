"""The first loss of a fit that is not finite, and whether an utterance's input is at fault.

After that step the weights are not finite either, and every utterance looks alike. Used by
models/classifier.py.

Axes: N utterances of a batch, R ranks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

# Nats. A model that is still sound stays far below, whatever the label; one that diverges, and
# whose first overflow may be in one utterance alone, is far above.
SOUND_LOSS = 100.0


@dataclass(frozen=True)
class Culprit:
    """An utterance whose input makes the loss not finite: its row, and the step, from 0."""

    row: int
    step: int

    def message(self, key: str) -> str:
        """What is wrong and what to do; key: the utterance's."""
        why = "others of its batch are" if self.step else "no weight has changed yet"
        return (
            f"{key}: the model's loss is not finite at step {self.step + 1}, while {why}: the"
            " input is at fault; correct or remove this utterance"
        )


class FirstNotFinite:
    """Notes the first training batch whose losses are not all finite.

    The note stays on the device until it is asked for once an epoch: reading it at every step would
    make a GPU wait.
    """

    def __init__(self) -> None:
        # row (-1: none so far), step, number of losses that are finite, and their mean
        self.note = torch.tensor([-1.0, 0.0, 0.0, 0.0])

    def update(self, losses_N: torch.Tensor, rows_N: torch.Tensor, step: int) -> None:
        """Looks at a batch; rows_N: rows in the corpus table."""
        finite_N = losses_N.isfinite()
        row = torch.where(finite_N, -1, rows_N).amax()
        count = finite_N.sum()
        mean = torch.where(finite_N, losses_N, 0).sum() / count.clamp_min(1)
        now = torch.stack(
            [value.float() for value in (row, torch.full_like(row, step), count, mean)]
        )
        known = self.note.to(now.device)
        self.note = torch.where(known[0] < 0, now, known)

    def culprit(self, from_all_ranks: Callable[[torch.Tensor], torch.Tensor]) -> Culprit | None:
        """The first utterance whose input is at fault; None if every loss was finite, or if the
        model has diverged by itself.

        from_all_ranks: gathers a tensor of every rank (R, ...).
        """
        notes = [note for note in from_all_ranks(self.note).tolist() if note[0] >= 0]
        if not notes:
            return None
        row, step, finite, mean = min(notes, key=lambda note: note[1])
        if step > 0 and not (finite and mean < SOUND_LOSS):
            return None
        return Culprit(int(row), int(step))

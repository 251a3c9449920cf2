"""The first loss of a fit that is not finite, and whether an input or the checkpoint is at fault.

After that step the weights are not finite either, and every loss is NaN. Used by
models/classifier.py.

Axes: N utterances of a batch, R ranks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

# Nats. A model that has not diverged stays far below, whatever the label; one that diverges, and
# whose first overflow may be in one utterance alone, is far above.
SOUND_LOSS = 100.0


@dataclass(frozen=True)
class Culprit:
    """An utterance whose loss is not finite: its row, and the step, from 0.

    checkpoint: True where no loss at all is finite before any weight has changed, so that it is not
        the input of the utterance that is at fault.
    """

    row: int
    step: int
    checkpoint: bool = False

    def message(self, key: str) -> str:
        """What is wrong and what to do; key: the utterance's."""
        if self.checkpoint:
            return (
                f"no loss is finite at step 1 (of {key}, for example), while no weight has changed"
                " yet: the checkpoint's weights or the precision are at fault; choose another"
                " checkpoint or set numerics=fp32"
            )
        why = "others of its batch are" if self.step else "no weight has changed yet"
        return (
            f"{key}: the model's loss is not finite at step {self.step + 1}, while {why}: the"
            " input is at fault; correct or remove this utterance"
        )


class FirstNotFinite:
    """Notes the first training step whose losses are not all finite.

    The note stays on the device until it is asked for once an epoch: reading it at every step would
    make a GPU wait.
    """

    def __init__(self) -> None:
        # row (-1: none so far), step, number of its losses that are finite, and their mean
        self.note = torch.tensor([-1.0, 0.0, 0.0, 0.0])

    def update(self, losses_N: torch.Tensor, rows_N: torch.Tensor, step: int) -> None:
        """Looks at a batch, or at one microbatch of a step; rows_N: rows in the corpus table."""
        known = self.note.to(losses_N.device)
        finite_N = losses_N.isfinite()
        row = torch.where(finite_N, -1, rows_N).amax()
        earlier = torch.where(known[1] == step, known[2], 0)  # of the same step
        count = finite_N.sum() + earlier
        total = torch.where(finite_N, losses_N, 0).sum() + earlier * known[3]
        mean = total / count.clamp_min(1)
        now = torch.stack(
            [value.float() for value in (row, torch.full_like(row, step), count, mean)]
        )
        self.note = torch.where(known[0] < 0, now, known)

    def culprit(self, from_all_ranks: Callable[[torch.Tensor], torch.Tensor]) -> Culprit | None:
        """The first utterance whose loss is not finite, and whether its input is at fault; None if
        every loss was finite, or if the model has diverged by itself.

        from_all_ranks: gathers a tensor of every rank (R, ...).
        """
        every = from_all_ranks(self.note).tolist()
        notes = [note for note in every if note[0] >= 0]
        if not notes:
            return None
        # of ranks with the same step, the one that has the most finite losses
        row, step, finite, mean = min(notes, key=lambda note: (note[1], -note[2]))
        if step > 0 and not (finite and mean < SOUND_LOSS):
            return None
        # a rank without a note of the first step has had only finite losses there
        nowhere = not finite and all(note[0] >= 0 and note[1] == 0 for note in every)
        return Culprit(int(row), int(step), checkpoint=nowhere)

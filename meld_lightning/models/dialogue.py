"""A recurrent head over the utterances of a dialogue.

Used by models/text.py with batches of complete dialogues (data/text.py).

Axes: N utterances of a batch, in the order of their turns; D dialogues, L turns of the longest one,
H features of an utterance, K hidden units, C classes.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence, unpack_sequence

from meld_lightning.data.text import Turns


class DialogueHead(nn.Module):
    """A GRU over the turns of a dialogue, whose output is added to each utterance's own logits.

    It reads each utterance's features and whether its speaker also has the turn before it. The
    output layer starts at zero, so that training starts from what the utterances say alone.

    Args:
        features: H.
        classes: C.
        turns: past makes it causal: an utterance's output depends on its earlier turns and on
            itself. With both, a second GRU reads the dialogue backwards.
        units: K, of each direction.
        dropout: rate for what it reads and for what its output layer reads.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        turns: Literal["past", "both"],
        units: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.gru = nn.GRU(features + 1, units, bidirectional=turns == "both")
        self.output = nn.Linear(units * (2 if turns == "both" else 1), classes)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features_NH: torch.Tensor, turns: Turns) -> torch.Tensor:
        """What the dialogue adds to the logits (N, C)."""
        # in full precision: cuDNN would run it in bf16, and it is small
        with torch.autocast(features_NH.device.type, enabled=False):
            same_N1 = turns.same_speaker_N.float().unsqueeze(1)
            read_NI = torch.cat([self.dropout(features_NH.float()), same_N1], dim=1)
            lengths_D = turns.dialogues_N.bincount().tolist()
            packed = pack_sequence(read_NI.split(lengths_D), enforce_sorted=False)
            hidden_NK = torch.cat(unpack_sequence(self.gru(packed)[0]))
            return self.output(self.dropout(hidden_NK))

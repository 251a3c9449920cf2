"""What a track lost when it was decoded: packets, frames, or its end.

Filled by frames.py and waveform.py, stored by worker.py, reported by outcome.py.
"""

from dataclasses import asdict, dataclass
from typing import Any

DOUBTFUL_SHARE = 0.1  # of a track's packets; a clip that loses more is doubtful


@dataclass
class Losses:
    """What one track of a clip lost.

    packets: how many packets with data the track has.
    dropped: how many of them the decoder refused; ffmpeg drops them, too, and goes on.
    damaged: how many frames were decoded in spite of errors, and may be smeared.
    cut: how the file is cut short, where that is and what is left was kept (media.keep_cut).
    """

    packets: int = 0
    dropped: int = 0
    damaged: int = 0
    cut: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The fields, if anything was lost; else empty."""
        return asdict(self) if self.dropped or self.damaged or self.cut else {}


def is_doubtful(one: dict[str, Any]) -> bool:
    """Whether a track, given by `Losses.as_json`, lost more than DOUBTFUL_SHARE, or its end, of
    which it is not always known how long it was."""
    lost = one["dropped"] + one["damaged"]
    return one["cut"] is not None or bool(lost > DOUBTFUL_SHARE * one["packets"])

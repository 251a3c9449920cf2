"""Which modalities are right where others are wrong, and what a fusion makes of it.

Computes from what report/scored.py reads; writes nothing. Used by the page.

Axes: M modalities, N utterances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meld_lightning.report.scored import Scored, check_joined


@dataclass(frozen=True)
class Subset:
    """The utterances on which exactly these modalities are right.

    n: utterances; fused: those of them that the fusion gets right; both means over seeds.
    """

    right: tuple[str, ...]
    n: float
    fused: float


@dataclass(frozen=True)
class Complement:
    """The utterances by the modalities that are right, the largest group first.

    oracle: the accuracy of always taking a modality that is right, where there is one.
    fused: the accuracy of the fusion.
    """

    subsets: tuple[Subset, ...]
    oracle: float
    fused: float
    n: int

    @property
    def fused_with_one(self) -> dict[str, float]:
        """Modality -> the utterances that it and the fusion get right and no other modality does;
        modalities without any are left out."""
        return {
            one.right[0]: one.fused for one in self.subsets if len(one.right) == 1 and one.fused
        }

    @property
    def fused_with_none(self) -> float:
        """The utterances that the fusion gets right and no modality does."""
        return sum(one.fused for one in self.subsets if not one.right)


def complement(pairs: Sequence[tuple[Scored, Mapping[str, Scored]]]) -> Complement:
    """For each seed a fusion and the runs that it fuses, by modality. A modality that is missing is
    never right."""
    modalities, seeds = tuple(pairs[0][1]), len(pairs)
    counts: dict[tuple[str, ...], np.ndarray] = {}
    for fusion, members in pairs:
        check_joined([fusion, *members.values()])
        right_MN = [(one.predicted == one.true) & one.present for one in members.values()]
        fused_N = fusion.predicted == fusion.true
        for flags, fused in zip(np.transpose(right_MN), fused_N, strict=True):
            name = tuple(one for one, right in zip(modalities, flags, strict=True) if right)
            counts.setdefault(name, np.zeros(2))
            counts[name] += (1, fused)
    n = len(pairs[0][0].keys)
    subsets = [
        Subset(name, float(count[0]) / seeds, float(count[1]) / seeds)
        for name, count in sorted(counts.items(), key=lambda one: (-one[1][0], one[0]))
    ]
    none = sum(one.n for one in subsets if not one.right)
    return Complement(tuple(subsets), 1 - none / n, sum(one.fused for one in subsets) / n, n)

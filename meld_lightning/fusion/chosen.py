"""A choice among several fusions and the single modalities, which cross-validation makes.

Reads and writes no files; used by fit.py through `candidates`.
"""

from collections.abc import Mapping, Sequence

from meld_lightning.fusion.likelihood_ratio import Single
from meld_lightning.fusion.method import Fusion


class Chosen:
    """The best of several fusions and of the single modalities; selection.py chooses.

    Args:
        among: name -> fusion.
    """

    def __init__(self, name: str, among: Mapping[str, Fusion]) -> None:
        self.name, self.among = name, among

    def candidates(self, modalities: Sequence[str]) -> dict[str, Fusion]:
        """The fusions to choose from, the single modalities first: the simplest of equals wins.

        A fusion that cannot use any of the modalities is no candidate.
        """
        singles: dict[str, Fusion] = {
            f"{modality} alone": Single(f"{modality} alone", modality) for modality in modalities
        }
        if len(modalities) == 1:
            return singles
        usable = {
            name: fusion
            for name, fusion in self.among.items()
            if len(fusion.left_out(modalities)) < len(modalities)
        }
        return {**singles, **usable}

"""A choice among several fusions and the single runs, which cross-validation makes.

Reads and writes no files; used by fit.py through `candidates`.
"""

from collections.abc import Mapping, Sequence

from meld_lightning.fusion.alone import Alone
from meld_lightning.fusion.likelihood_ratio import Single
from meld_lightning.fusion.method import Fusion


class Chosen:
    """The best of several fusions and of the single runs; selection.py chooses.

    Args:
        name: what run folders and tables call the choice.
        among: name -> fusion.
    """

    def __init__(self, name: str, among: Mapping[str, Fusion]) -> None:
        self.name, self.among = name, among

    def candidates(self, modalities: Sequence[str]) -> dict[str, Fusion]:
        """The fusions to choose from, the simplest first, because the first of equals wins.

        Each run exactly as it is comes first: no choice falls below the best of them on val. Then
        come the same runs, recalibrated, and the fusions that can use any of the modalities.
        """
        found: dict[str, Fusion] = {}
        for modality in modalities:
            found[f"{modality} alone"] = Alone(f"{modality} alone", modality)
        for modality in modalities:
            name = f"{modality} recalibrated"
            found[name] = Single(name, modality)
        if len(modalities) > 1:
            for name, fusion in self.among.items():
                if len(fusion.left_out(modalities)) < len(modalities):
                    found[name] = fusion
        return found

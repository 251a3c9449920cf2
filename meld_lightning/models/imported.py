"""The settings of imported predictions, made by another program or by people.

There is no network: training/imported.py reads the predictions from a file and scores them.
"""

from typing import Literal


class Imported:
    """Predictions from a file: `predictions=FILE`.

    Args:
        name: names the run's folder and its model in reports.
        modality: what the predictions were made from: text, audio, video or a word of your own,
            such as votes.
        scores: what the file's columns hold; each row of probabilities has to sum to 1.
    """

    def __init__(
        self,
        name: str,
        modality: str = "imported",
        scores: Literal["probabilities", "logits"] = "probabilities",
    ) -> None:
        self.name, self.modality, self.scores = name, modality, scores
